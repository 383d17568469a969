// The official server with a bit of everything, on one address of this machine: by itself it listens on every interface.
//
//     node everything.mjs <host> <port>
//
// Prints `listening on <host>:<port>`. The package is looked up in $GATEWARD_TEST_NODE_MODULES.

import { Server } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [host, port] = process.argv.slice(2);
const listen = Server.prototype.listen;
Server.prototype.listen = function (_port, ...more) {
  this.once('listening', () => console.log(`listening on ${host}:${port}`));
  return listen.call(this, Number(port), host, ...more);
};

const server = '@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js';
await import(pathToFileURL(join(process.env.GATEWARD_TEST_NODE_MODULES, server)));
