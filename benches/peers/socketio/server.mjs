// Socket.IO in front of NATS, as its documentation has it: a room for each job, one broadcast for
// each event. `jobwire bench` starts it and reads from its first line how to talk to it.

import { createServer } from "node:http";
import { connect } from "@nats-io/transport-node";
import { Server } from "socket.io";

const nats = await connect({ servers: process.env.NATS_URL });
const http = createServer();
const sockets = new Server(http, { transports: ["websocket"], serveClient: false });

sockets.on("connection", (socket) => {
  socket.on("subscribe", (job) => {
    socket.join(job);
    socket.emit("subscribed", job);
  });
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(
    JSON.stringify({
      address: `127.0.0.1:${http.address().port}`,
      path: "/socket.io/?EIO=4&transport=websocket",
      // Engine.IO's 4 is a message, in it Socket.IO's 0 connects and 2 is an event.
      steps: [
        { say: "40", until: "40{" },
        { say: '42["subscribe","{job}"]', until: '42["subscribed"' },
      ],
      ping: "2",
      pong: "3",
    }),
  );
});

process.on("SIGTERM", () => process.exit(0));

// A subject is jobs.<kind>.<id>.<type>. As text: taking the JSON apart would be a cost that the
// gateway has not.
for await (const message of nats.subscribe("jobs.>")) {
  sockets.to(message.subject.split(".")[2]).emit("event", message.string());
}
