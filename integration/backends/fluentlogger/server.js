// SPDX-License-Identifier: Apache-2.0

// A server of the forward protocol that asks for a shared key and a user, and prints each record it takes as a line.
// node server.js PORT KEY USER PASSWORD
const { FluentServer } = require("@fluent-org/logger");

const [port, sharedKey, user, password] = process.argv.slice(2);
const server = new FluentServer({
  listenOptions: { host: "127.0.0.1", port: Number(port) },
  security: { serverHostname: "server", sharedKey, authorize: true, userDict: { [user]: password } },
});
server.on("entry", (tag, time, record) => {
  for (const [key, value] of Object.entries(record)) {
    if (typeof value === "bigint") record[key] = value.toString();
  }
  process.stdout.write(JSON.stringify({ ...record, tag }) + "\n");
});
server.listen();
