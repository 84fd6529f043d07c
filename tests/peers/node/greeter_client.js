// A client in the shape of gRPC's quick start for Node.js: node greeter_client.js HOST:PORT NAME
// Prints the greeting, the replica that gave it, then each greeting of the stream.
"use strict";

const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const PROTO = path.join(__dirname, "..", "..", "..", "protos", "helloworld.proto");
const { helloworld } = grpc.loadPackageDefinition(
  protoLoader.loadSync(PROTO, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true }),
);

function main([target, name]) {
  const client = new helloworld.Greeter(target, grpc.credentials.createInsecure());
  const fail = (error) => {
    console.error(error.message);
    process.exitCode = 1;
    client.close();
  };

  const call = client.sayHello({ name }, (error, reply) => {
    if (error) return fail(error);
    console.log("Greeting:", reply.message);
  });
  call.on("status", ({ code, metadata }) => {
    if (code !== grpc.status.OK) return;
    console.log("Replica:", metadata.get("lbdemo-replica").join());
    const stream = client.sayHelloStreamReply({ name });
    stream.on("data", (reply) => console.log("Streamed:", reply.message));
    stream.on("error", fail);
    stream.on("end", () => client.close());
  });
}

main(process.argv.slice(2));
