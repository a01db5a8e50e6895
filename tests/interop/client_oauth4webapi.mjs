// oauth4webapi as a client: `client_oauth4webapi.mjs CONFIG`, with the scenario as JSON; see README.md.
//
// An implementation of the RFCs that knows nothing of MCP, and stricter than the SDKs: it checks media types, `iss`,
// `state`, the shape of every answer, and the access token by RFC 9068.

import * as oauth from 'oauth4webapi';
import { browse, listen, pairs } from './callback.mjs';

const config = JSON.parse(process.argv[2]);
const callback = await listen(config.redirect_host);
const insecure = { [oauth.allowInsecureRequests]: true }; // the issuer is on loopback

const resource = new URL(config.resource);
const described = await oauth.processResourceDiscoveryResponse(resource, await oauth.resourceDiscoveryRequest(resource, insecure));
const issuer = new URL(described.authorization_servers[0]);
const discovery = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
const as = await oauth.processDiscoveryResponse(issuer, discovery);
if (as.issuer !== described.authorization_servers[0]) throw new Error(`issuer is spelled in two ways: ${as.issuer}`);

const client = { client_id: config.client_information?.client_id ?? config.client_metadata_url };
const authentication = oauth.None();
const verifier = oauth.generateRandomCodeVerifier();
const state = config.state ?? oauth.generateRandomState();
const request = new URL(as.authorization_endpoint);
const wanted = {
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: callback.redirectUri,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    scope: 'tools:call',
    resource: config.resource,
    ...config.authorization
};
for (const [name, value] of Object.entries(wanted)) if (value !== null) request.searchParams.set(name, value);
await browse(request);
if (callback.queries.length === 0) throw new Error('the browser never came back to the client');

const output = { client_id: client.client_id, redirect_uri: callback.redirectUri, callbacks: callback.queries.map(pairs), calls: [], tokens: [] };
let answer;
try {
    answer = oauth.validateAuthResponse(as, client, new URLSearchParams(callback.queries.at(-1)), state);
} catch (error) {
    if (!(error instanceof oauth.AuthorizationResponseError)) throw error;
    output.refused = error.error;
}

const keep = async tokens => {
    const presented = new Request(config.resource, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    output.tokens.push(tokens);
    output.calls.push(await oauth.validateJwtAccessToken(as, presented, config.audience ?? config.resource, { signingAlgorithms: ['ES256'], ...insecure }));
};

/** Sends a request that must be refused, and notes how. */
const refusal = async attempt => {
    try {
        await attempt();
    } catch (error) {
        if (error instanceof oauth.ResponseBodyError) return { status: error.status, error: error.error };
        throw error;
    }
    throw new Error('accepted what must be refused');
};

if (answer) {
    const redeem = async codeVerifier => {
        const response = await oauth.authorizationCodeGrantRequest(as, client, authentication, answer, callback.redirectUri, codeVerifier, insecure);
        return await oauth.processAuthorizationCodeResponse(as, client, response);
    };
    if (config.wrong_verifier_first) output.wrong_verifier = await refusal(() => redeem(oauth.generateRandomCodeVerifier()));
    let tokens = await redeem(verifier);
    await keep(tokens);

    const refresh = async (token, parameters) => {
        const response = await oauth.refreshTokenGrantRequest(as, client, authentication, token, { additionalParameters: parameters, ...insecure });
        return await oauth.processRefreshTokenResponse(as, client, response);
    };
    for (const parameters of config.refresh_with ?? [{}]) {
        tokens = await refresh(tokens.refresh_token, parameters);
        await keep(tokens);
    }
    if (config.reuse_code) output.reused_code = await refusal(() => redeem(verifier));
    if (config.reuse_refresh_token) {
        output.reused_refresh_token = await refusal(() => refresh(output.tokens[0].refresh_token, {}));
        output.revoked_refresh_token = await refusal(() => refresh(tokens.refresh_token, {}));
    }
}
callback.close();
console.log(JSON.stringify(output));
