// The MCP TypeScript SDK as a client: `client_typescript_sdk.mjs CONFIG`, with the scenario as JSON; see README.md.
// Prints one JSON object on its last line: what it was given, and what the tools answered.

import { randomUUID } from 'node:crypto';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { browse, listen, pairs } from './callback.mjs';

const config = JSON.parse(process.argv[2]);
const callback = await listen(config.redirect_host);
const stored = { client: config.client_information };
const states = [];
let browsed = 0;

const provider = {
    redirectUrl: callback.redirectUri,
    clientMetadataUrl: config.client_metadata_url,
    clientMetadata: {
        client_name: 'Interop',
        redirect_uris: [callback.redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        ...config.client_metadata
    },
    state: () => {
        states.push(randomUUID());
        return states.at(-1);
    },
    clientInformation: () => stored.client,
    saveClientInformation: client => void (stored.client = client),
    tokens: () => stored.tokens,
    saveTokens: tokens => void (stored.tokens = tokens),
    saveCodeVerifier: verifier => void (stored.verifier = verifier),
    codeVerifier: () => stored.verifier,
    redirectToAuthorization: async url => {
        browsed += 1;
        await browse(url);
    },
    invalidateCredentials: scope => {
        throw new Error(`the server refused what it had issued: ${scope}`);
    }
};

async function connect() {
    const client = new Client({ name: 'interop', version: '1.0.0' });
    const transport = new StreamableHTTPClientTransport(new URL(config.resource), { authProvider: provider });
    try {
        await client.connect(transport);
    } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
        const answer = new URLSearchParams(callback.queries.at(-1));
        if (answer.has('error')) throw new Error(`authorization refused: ${answer.get('error')}`);
        // This SDK leaves the comparison of `state` to its user.
        if (answer.get('state') !== states.at(-1)) throw new Error('state came back changed');
        await transport.finishAuth(answer.get('code'));
        await client.close();
        return await connect();
    }
    return client;
}

const client = await connect();
const tools = (await client.listTools()).tools.map(tool => tool.name);
const whoami = async () => JSON.parse((await client.callTool({ name: 'whoami' })).content[0].text);
const calls = [await whoami()];
const tokens = [stored.tokens];
for (let n = 0; n < (config.refreshes ?? 1); n += 1) {
    // This SDK refreshes when the server answers 401.
    stored.tokens = { ...stored.tokens, access_token: 'stale' };
    calls.push(await whoami());
    tokens.push(stored.tokens);
}
await client.close();
callback.close();
console.log(JSON.stringify({ client_id: stored.client.client_id, redirect_uri: callback.redirectUri, callbacks: callback.queries.map(pairs), browsed, tools, calls, tokens }));
