// A member of a chat room with @grpc/grpc-js: node chat_client.js HOST:PORT ROOM NAME
// Says each line of its standard input, prints what happens in the room, leaves when its input ends and all it said is
// acknowledged. The address is a replica's, or a proxy's that hashes by the metadata `lbdemo-room`.
"use strict";

const crypto = require("node:crypto");
const path = require("node:path");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const PROTO = path.join(__dirname, "..", "..", "..", "protos", "chat.proto");
const { lbdemo } = grpc.loadPackageDefinition(
  protoLoader.loadSync(PROTO, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true }),
);

function main([address, room, name]) {
  const client = new lbdemo.v1.Chat(address, grpc.credentials.createInsecure());
  const session = crypto.randomBytes(16).toString("hex");
  const pending = new Map(); // id -> text: said, and not acknowledged
  const known = new Map(); // id -> line: what to bring along when the room moves
  let replica = "";
  let stream = null;
  let over = false;

  const metadata = new grpc.Metadata();
  metadata.set("lbdemo-room", encodeURIComponent(room.normalize("NFC")));

  const heard = (line) => {
    pending.delete(line.id);
    if (known.has(line.id)) return;
    known.set(line.id, line);
    if (known.size > 100) known.delete(known.keys().next().value);
    console.log(`${line.name}: ${line.text}`);
  };

  const leaveWhenAllIsSaid = () => {
    if (over && stream && pending.size === 0) {
      stream.write({ leave: {} });
      stream.end();
    }
  };

  const join = () => {
    const joined = (stream = client.join(metadata));
    joined.write({ hello: { name, session, history: 20, comes_from: replica, known: [...known.values()] } });
    joined.on("data", (message) => {
      if (message.what === "welcome") {
        replica = message.welcome.replica;
        console.log(`* ${message.welcome.name} is in ${room} on ${replica} with ${message.welcome.members.join(", ")}`);
        message.welcome.lines.forEach(heard);
        for (const [id, text] of pending) joined.write({ say: { id, text } });
      } else if (message.what === "line") {
        heard(message.line);
      } else {
        console.log(`* ${message[message.what].name} ${message.what}`);
      }
      if (replica) leaveWhenAllIsSaid();
    });
    joined.on("error", () => {}); // the status tells
    joined.on("status", ({ code, details, metadata: trailer }) => {
      stream = null;
      if (code === grpc.status.UNAVAILABLE && !(over && pending.size === 0)) {
        console.log(`* the stream has ended: ${trailer.get("lbdemo-move").join() || details}`);
        setTimeout(join, 20);
        return;
      }
      if (code !== grpc.status.OK) {
        console.error(`${grpc.status[code]}: ${details}`);
        process.exitCode = 1;
      }
      client.close();
      input.close();
    });
  };

  const input = readline.createInterface({ input: process.stdin });
  input.on("line", (text) => {
    const id = crypto.randomBytes(8).toString("hex");
    pending.set(id, text);
    if (stream && replica) stream.write({ say: { id, text } });
  });
  input.on("close", () => {
    over = true;
    if (replica) leaveWhenAllIsSaid();
  });
  join();
}

main(process.argv.slice(2));
