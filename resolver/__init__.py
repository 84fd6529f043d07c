"""Resolution: targets and registries in, live endpoints out, fed to gRPC core as xDS."""
