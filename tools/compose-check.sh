#!/usr/bin/env bash
# Runs compose.yaml for real where there is no Docker engine and no image registry: Debian's podman, as root, on a base
# image made by debootstrap. Everything it makes is in one temporary folder and gone at the end; only the Debian
# packages it had to install stay. Exit code 0: three replicas in containers shared the calls evenly.
set -euo pipefail
cd "$(dirname "$0")/.."

replicas=3
count=300
say() { printf '\n== %s\n' "$*"; }
give_up() { printf 'compose-check: %s\n' "$*" >&2; exit 1; }

[[ $(id -u) == 0 ]] || give_up "must be run as root: containers need networks and mounts"
[[ -r /etc/debian_version ]] || give_up "knows only Debian; with a Docker engine run: docker compose up --build"

# In a mount namespace of its own no mount can outlive the check, nor podman's notes under /run.
if [[ ${IN_OWN_NAMESPACE-} != yes ]]; then
    IN_OWN_NAMESPACE=yes exec unshare --mount --propagation private "$0" "$@"
fi
mkdir -p /run/containers
mount -t tmpfs none /run/containers

# ---- the engine

packages=(podman runc netavark aardvark-dns iptables debootstrap)
# dpkg-query fails on a package that it has never heard of.
missing=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true; } |
    sed -n 's/^installed //p' | sort | comm -13 - <(printf '%s\n' "${packages[@]}" | sort))
if [[ $missing ]]; then
    say "Installing" $missing
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $missing >/dev/null
fi

# netavark leaves its empty chains and IP forwarding behind: taken back, unless somebody else's containers use them.
forwarding=$(</proc/sys/net/ipv4/ip_forward)
first_use=$(iptables-save | grep -q NETAVARK || echo yes)

work=$(mktemp -d /var/tmp/lbdemo-compose.XXXXXX)
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
export COMPOSE_PROJECT_NAME=lbdemo-check-$$

clean_up() {
    trap - EXIT INT TERM
    say "Cleaning up"
    compose down --volumes >/dev/null 2>&1 || true
    podman rm --all --force --time 0 >/dev/null 2>&1 || true
    podman network prune --force >/dev/null 2>&1 || true
    if [[ $first_use ]]; then
        iptables-save | grep -v NETAVARK | iptables-restore
        echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
    fi
    local mounts
    mapfile -t mounts < <(awk -v under="$work/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r)
    ((${#mounts[@]} == 0)) || umount "${mounts[@]}" || true
    rm -rf "$work"
}
compose() { "$work/tools/bin/podman-compose" --in-pod false "$@"; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What podman 4.3 needs on a machine without systemd: its own runtime and limits, no cgroup manager, no journal.
# The rest keeps its state in our folder and away from a podman that is in use.
cat >"$CONTAINERS_CONF" <<EOF
[containers]
default_ulimits = ["nofile=10000:10000", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
static_dir = "$work/static"
tmp_dir = "$work/tmp"
volume_path = "$work/volumes"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
EOF
cat >"$CONTAINERS_STORAGE_CONF" <<EOF
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
EOF

say "podman $(podman --version | awk '{print $3}'), podman-compose from requirements/compose.lock"
"${PYTHON:-python3}" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/compose.lock

# ---- the base image: no registry is asked, so Debian's own Python goes by the name that the Dockerfile asks for

base=$(sed -n 's/^FROM \(\S*\).*/\1/p' Dockerfile | sort -u)
# shellcheck disable=SC1091 -- a fact about the machine
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v codename="$codename" '$1 == codename {print $2; exit}')
say "Base image $base: debootstrap of Debian $codename (a minute)"
debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
    "$codename" "$work/root" "$mirror" >"$work/debootstrap.log" 2>&1 || give_up "$(tail -3 "$work/debootstrap.log")"
rm -f "$work"/root/usr/lib/python3*/EXTERNALLY-MANAGED
# The build asks the same index as this machine does, and trusts whom it trusts.
cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
[[ ! -r /etc/pip.conf ]] || cp /etc/pip.conf "$work/root/etc/"
tar -C "$work/root" -c . | podman import - "localhost/$base" >/dev/null 2>&1
rm -rf "$work/root"

# ---- the file itself

say "Building the image of the Dockerfile"
podman build --quiet --network host --pull=never --tag lbdemo . >/dev/null

say "podman-compose up --scale replica=$replicas"
compose up --no-build -d --scale "replica=$replicas" replica >"$work/up.log" 2>&1 || give_up "$(cat "$work/up.log")"
# podman runs health checks by systemd's timers only; here they are asked for by hand.
mapfile -t containers < <(podman ps --quiet --filter label=com.docker.compose.service=replica)
((${#containers[@]} == replicas)) || give_up "${#containers[@]} replicas run, not $replicas: $(podman ps --all)"
for container in "${containers[@]}"; do
    for ((tries = 0; ; tries++)); do
        podman healthcheck run "$container" >/dev/null 2>&1 && break
        ((tries < 60)) || give_up "$container is not healthy: $(podman logs "$container" 2>&1 | tail -5)"
        sleep 0.2
    done
done
podman ps --format '{{.Names}}  {{.Status}}'

say "podman-compose up client: the report of the file's own command"
compose up --no-build --no-deps -d client >/dev/null 2>&1
client=$(podman ps --all --quiet --filter label=com.docker.compose.service=client)
code=$(podman wait "$client")
podman logs "$client"
[[ $code == 0 ]] || give_up "the client ended with exit code $code"

say "The same for $count calls, as JSON, and judged"
compose run --rm --no-deps -T client call --target dir:///registry/greeter --count "$count" --json >"$work/report.json"
python3 - "$work/report.json" "$replicas" "$count" <<'EOF'
import json, sys

report, replicas, count = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
calls = {backend["id"]: backend["calls"] for backend in report["backends"]}
print(calls)
assert report["failed"] == 0, report["statuses"]
assert len(calls) == replicas, f"{len(calls)} replicas got calls, not {replicas}"
assert sum(calls.values()) == count and max(calls.values()) - min(calls.values()) <= 1, "the calls are not even"
EOF

# podman-compose forgets what it scaled to: it would stop one.
say "podman stop: every replica drains and withdraws its record"
podman stop --time 10 "${containers[@]}" >/dev/null 2>&1
for container in "${containers[@]}"; do
    state=$(podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$container")
    [[ $state == "exited 0" ]] || give_up "a replica is $state: $(podman logs "$container" 2>&1 | tail -3)"
done
records=$(find "$work/volumes" -name '*.json')
[[ ! $records ]] || give_up "records were left: $records"

clean_up
say "compose-check: $replicas replicas in containers shared $count calls evenly, drained and left no record"
