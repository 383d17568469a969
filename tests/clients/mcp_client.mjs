// A real MCP client: the official TypeScript SDK, driven through one whole life of an authorization.
//
//     node mcp_client.mjs <mcp-server-url> [options]
//
// The URL of the MCP server is all it is told. Everything else it finds out the way a deployed client does:
//
//   1. connects without a token and is refused (401, `WWW-Authenticate`);
//   2. reads the protected resource metadata (RFC 9728), then the authorization server metadata (RFC 8414);
//   3. registers itself (RFC 7591) with a loopback redirect URI on an ephemeral port (RFC 8252);
//   4. prints `AUTHORIZE <url>` and waits. Whoever runs this program plays the browser: it opens the URL, logs in, approves,
//      and follows the last redirect to the loopback callback;
//   5. checks `state` and `iss` (RFC 9207) and exchanges the code (PKCE);
//   6. connects, lists the tools, calls one;
//   7. with `--step-up`: calls a tool that its token does not permit, and is refused (403, `insufficient_scope`). The SDK asks for
//      the union of what it has and what is missing; this program prints a second `AUTHORIZE <url>`, waits as in 4, and calls it
//      again, in the same session;
//   8. spoils its own access token, so that the next call is refused and the SDK refreshes by itself, and calls again. With
//      `--expire`, it waits instead until it is told that the token has expired.
//
// Standard output holds exactly one line per milestone: the `AUTHORIZE` line, and JSON objects with an `event` member:
//
//     listening      redirect_uri
//     discovered     issuer, authorization_server, resource, resource_metadata_url
//     registered     client_id, token_endpoint_auth_method, has_secret, scope
//     called_back    iss, error (`null`, or what the authorization server answered; then the run fails)
//     authorized     access_token, refresh_token, token_type, expires_in, scope
//     connected      protocol_version, server
//     tools_listed   tools
//     tool_called    call (1, 2, 3), tool, text
//     step_up        scope (what it asks for), then `called_back` again
//     stepped_up     access_token, refresh_token, token_type, expires_in, scope; then `tool_called`
//     token_spoiled  access_token; with `--expire` instead:
//     expiring       go_on (a URL, to be visited once the token has expired)
//     refreshed      access_token, refresh_token, rotated, scope, expires_in
//     done
//
// A token is shown as the first 16 hexadecimal digits of its SHA-256 (`null` when there is none), never as itself: enough to
// tell whether two are the same, or to find one in a store that keeps digests.
//
// Options:
//
//     --protocol auto|legacy|<revision>   `auto` (default) asks the server; `legacy` behaves like a client from 2025; a
//                                         revision such as 2026-07-28 is insisted upon
//     --auth-method METHOD                what to register: `none` (default), `client_secret_basic`, `client_secret_post`
//     --redirect-host HOST                127.0.0.1 (default), localhost or [::1]
//     --tool NAME                         which tool to call; the first one that is listed by default
//     --arguments JSON                    the arguments of that tool; `{}` by default
//     --step-up TOOL                      a tool that the first token does not permit
//     --step-up-arguments JSON            the arguments of that tool; `{}` by default
//     --expire                            wait for the token to expire
//     --timeout SECONDS                   for the whole run; 60 by default
//
// Exit status: 0 after `done`, 1 with a message on standard error for every failure, 2 for a wrong command line.
//
// The packages are looked up in $GATEWARD_TEST_NODE_MODULES when it is set (tests/run sets it), else beside this file.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { inspect, parseArgs } from 'node:util';

const packages = process.env.GATEWARD_TEST_NODE_MODULES;
const require = createRequire(packages ? join(packages, 'from-here.cjs') : import.meta.url);
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = require('@modelcontextprotocol/client');

const AUTH_METHODS = ['none', 'client_secret_basic', 'client_secret_post'];
const REDIRECT_HOSTS = ['127.0.0.1', 'localhost', '[::1]'];

const emit = (event, members = {}) => console.log(JSON.stringify({ event, ...members }));

const fingerprint = (secret) =>
  secret === undefined ? null : createHash('sha256').update(secret).digest('hex').slice(0, 16);

// Values that must not reach any output, error messages of the SDK included.
const secrets = new Set();

const keepSecret = (value) => {
  if (value) secrets.add(value);
};

const redact = (text) => {
  let clean = text;
  for (const secret of secrets) clean = clean.replaceAll(secret, '[redacted]');
  return clean;
};

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

// What a host application supplies to the SDK: a memory for credentials and a way to open the browser.
class Host {
  #client;
  #tokens;
  #verifier;
  #discovery;
  #state;
  #mayAskHuman = true;

  constructor(redirectUrl, authMethod) {
    this.redirectUrl = redirectUrl;
    this.clientMetadata = {
      client_name: 'gateward client test',
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: authMethod,
    };
  }

  get issuer() {
    return this.#discovery?.authorizationServerMetadata?.issuer;
  }

  state() {
    this.#state = randomBytes(32).toString('base64url');
    return this.#state;
  }

  isState(value) {
    return this.#state !== undefined && value === this.#state;
  }

  discoveryState() {
    return this.#discovery;
  }

  saveDiscoveryState(discovery) {
    expect(discovery.resourceMetadata, 'no protected resource metadata was found');
    expect(discovery.authorizationServerMetadata, 'no authorization server metadata was found');
    this.#discovery = discovery;
    emit('discovered', {
      issuer: this.issuer,
      authorization_server: discovery.authorizationServerUrl,
      resource: discovery.resourceMetadata.resource,
      resource_metadata_url: discovery.resourceMetadataUrl ?? null,
    });
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    keepSecret(client.client_secret);
    this.#client = client;
    emit('registered', {
      client_id: client.client_id,
      token_endpoint_auth_method: client.token_endpoint_auth_method,
      has_secret: client.client_secret !== undefined,
      scope: client.scope ?? null,
    });
  }

  saveCodeVerifier(verifier) {
    keepSecret(verifier);
    this.#verifier = verifier;
  }

  codeVerifier() {
    return this.#verifier;
  }

  // What the authorization server no longer accepts (`invalid_grant`, `invalid_client`) must not be presented again.
  invalidateCredentials(scope) {
    if (scope === 'tokens' || scope === 'all') this.#tokens = undefined;
    if (scope === 'client' || scope === 'all') this.#client = undefined;
  }

  // The SDK comes here when it needs a human. Once there have been tokens it must not, but for a step-up: a refresh that fails
  // falls back to a new authorization, and waiting for it would hide the failure.
  redirectToAuthorization(url) {
    expect(this.#mayAskHuman, 'the refresh failed: the SDK asked for a new authorization instead');
    if (this.#tokens !== undefined) emit('step_up', { scope: url.searchParams.get('scope') });
    console.log(`AUTHORIZE ${url.href}`);
  }

  // The next refusal is one that only the human can do something about.
  expectStepUp() {
    this.#mayAskHuman = true;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    keepSecret(tokens.access_token);
    keepSecret(tokens.refresh_token);
    const before = this.#tokens;
    const humanAgreed = this.#mayAskHuman;
    this.#tokens = tokens;
    this.#mayAskHuman = false;
    const shown = {
      access_token: fingerprint(tokens.access_token),
      refresh_token: fingerprint(tokens.refresh_token),
      expires_in: tokens.expires_in ?? null,
      scope: tokens.scope ?? null,
    };
    if (humanAgreed) {
      emit(before === undefined ? 'authorized' : 'stepped_up', { ...shown, token_type: tokens.token_type });
    } else {
      emit('refreshed', { ...shown, rotated: tokens.refresh_token !== before.refresh_token });
    }
  }

  // Replaces the end of the access token - of a JWT, its signature - as if it had gone bad in storage.
  spoilAccessToken() {
    const good = this.#tokens.access_token;
    const bad = good.slice(0, -16) + [...good.slice(-16)].map((c) => (c === 'A' ? 'B' : 'A')).join('');
    this.#tokens = { ...this.#tokens, access_token: bad };
    emit('token_spoiled', { access_token: fingerprint(bad) });
  }
}

// The loopback listener (RFC 8252 7.3). `callback` waits for the query of the next request to the redirect URI.
async function listenForCallback(redirectHost) {
  let { promise, resolve: receive } = Promise.withResolvers();
  const { promise: toldToGoOn, resolve: goOn } = Promise.withResolvers();
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://callback.invalid');
    if (url.pathname === '/go-on') {
      response.writeHead(200, { Connection: 'close' }).end();
      goOn();
      return;
    }
    const found = request.method === 'GET' && url.pathname === '/callback';
    response.writeHead(found ? 200 : 404, { 'Content-Type': 'text/plain', Connection: 'close' });
    response.end(found ? 'Authorization received. You can close this window.\n' : 'Nothing here.\n');
    if (found) receive(url.searchParams);
  });
  server.listen(0, redirectHost.replace(/[[\]]/g, ''));
  await once(server, 'listening');
  const origin = `http://${redirectHost}:${server.address().port}`;
  return {
    redirectUri: `${origin}/callback`,
    goOnUri: `${origin}/go-on`,
    toldToGoOn,
    async callback() {
      const parameters = await promise;
      ({ promise, resolve: receive } = Promise.withResolvers());
      return parameters;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

// RFC 6749 10.12 and RFC 9207 2.4. The SDK compares `iss` again; `state` it leaves to the host.
function checkCallback(parameters, host) {
  for (const name of ['state', 'iss']) {
    expect(parameters.getAll(name).length === 1, `the callback must carry \`${name}\` exactly once`);
  }
  expect(host.isState(parameters.get('state')), 'the callback carries a `state` that is not ours');
  expect(
    parameters.get('iss') === host.issuer,
    `the callback comes from ${JSON.stringify(parameters.get('iss'))}, not from ${JSON.stringify(host.issuer)}`,
  );
  keepSecret(parameters.get('code'));
  emit('called_back', { iss: parameters.get('iss'), error: parameters.get('error') });
}

async function run({ serverUrl, protocol, authMethod, redirectHost, tool, toolArguments, stepUp, expire }) {
  const listener = await listenForCallback(redirectHost);
  emit('listening', { redirect_uri: listener.redirectUri });

  const host = new Host(listener.redirectUri, authMethod);
  const negotiation = protocol === 'auto' || protocol === 'legacy' ? protocol : { pin: protocol };
  const newClient = () =>
    new Client({ name: 'gateward-client-test', version: '1.0.0' }, { versionNegotiation: { mode: negotiation } });
  const newTransport = () => new StreamableHTTPClientTransport(serverUrl, { authProvider: host });

  // Being refused leads to the `AUTHORIZE` line; what the human answers to it ends here.
  const finishAuthorization = async (transport, outcome) => {
    if (!(outcome instanceof UnauthorizedError)) throw outcome;
    const parameters = await listener.callback();
    checkCallback(parameters, host);
    await transport.finishAuth(parameters);
  };
  const refusal = (promise) =>
    promise.then(
      () => undefined,
      (error) => error,
    );

  let open;
  try {
    const uninvited = newTransport();
    open = newClient();
    const refused = await refusal(open.connect(uninvited));
    expect(refused !== undefined, 'the MCP server let a client in that has no token');
    await finishAuthorization(uninvited, refused);
    await open.close();

    const transport = newTransport();
    const client = newClient();
    open = client;
    await client.connect(transport);
    emit('connected', {
      protocol_version: client.getNegotiatedProtocolVersion() ?? null,
      server: client.getServerVersion()?.name ?? null,
    });

    const { tools } = await client.listTools();
    const names = tools.map(({ name }) => name);
    emit('tools_listed', { tools: names });
    let last = { name: tool ?? names[0], arguments: toolArguments };
    for (const { name } of [last, ...(stepUp ? [stepUp] : [])]) {
      expect(names.includes(name), `the MCP server has no tool ${JSON.stringify(name)}`);
    }

    let count = 0;
    const call = async () => {
      const result = await client.callTool(last);
      const text = result.content.filter(({ type }) => type === 'text').map((part) => part.text);
      expect(!result.isError, `the tool failed: ${text.join(' ')}`);
      count += 1;
      emit('tool_called', { call: count, tool: last.name, text: text.join('\n') });
    };

    await call();
    if (stepUp) {
      host.expectStepUp();
      const forbidden = await refusal(client.callTool(stepUp));
      expect(forbidden !== undefined, 'the MCP server let a token in that permits too little');
      await finishAuthorization(transport, forbidden);
      last = stepUp;
      await call();
    }
    const good = host.tokens().access_token;
    if (expire) {
      emit('expiring', { go_on: listener.goOnUri });
      await listener.toldToGoOn;
    } else {
      host.spoilAccessToken();
    }
    await call();
    expect(host.tokens().access_token !== good, 'the refresh gave the same access token again');

    await transport.terminateSession();
    emit('done');
  } finally {
    listener.close();
    await open?.close();
  }
}

function commandLine() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      protocol: { type: 'string', default: 'auto' },
      'auth-method': { type: 'string', default: 'none' },
      'redirect-host': { type: 'string', default: '127.0.0.1' },
      tool: { type: 'string' },
      arguments: { type: 'string', default: '{}' },
      'step-up': { type: 'string' },
      'step-up-arguments': { type: 'string', default: '{}' },
      expire: { type: 'boolean', default: false },
      timeout: { type: 'string', default: '60' },
    },
  });
  expect(positionals.length === 1, 'expected exactly one argument, the URL of the MCP server');
  expect(AUTH_METHODS.includes(values['auth-method']), `--auth-method is one of ${AUTH_METHODS.join(', ')}`);
  expect(REDIRECT_HOSTS.includes(values['redirect-host']), `--redirect-host is one of ${REDIRECT_HOSTS.join(', ')}`);
  const timeoutSeconds = Number(values.timeout);
  expect(timeoutSeconds > 0, '--timeout is a number of seconds');
  return {
    serverUrl: new URL(positionals[0]),
    protocol: values.protocol,
    authMethod: values['auth-method'],
    redirectHost: values['redirect-host'],
    tool: values.tool,
    toolArguments: JSON.parse(values.arguments),
    stepUp: values['step-up'] && { name: values['step-up'], arguments: JSON.parse(values['step-up-arguments']) },
    expire: values.expire,
    timeoutSeconds,
  };
}

let options;
try {
  options = commandLine();
} catch (error) {
  console.error(`mcp_client: ${error.message}`);
  process.exit(2);
}

const deadline = setTimeout(() => {
  console.error(`mcp_client: not finished after ${options.timeoutSeconds} seconds`);
  process.exit(1);
}, options.timeoutSeconds * 1000);

try {
  await run(options);
} catch (error) {
  console.error(`mcp_client: ${redact(inspect(error))}`);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
}
