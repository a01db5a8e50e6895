// The organisation's OpenID provider: `oidc-provider`, as its authors made it, with a sign-in page of three buttons.

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

export const CLIENT_ID = 'nameplate';
export const CLIENT_SECRET = 'a secret of the browser tests';

/** People by user name; the tests change their groups. */
export const people = {
    ada: { name: 'Ada Lovelace', groups: ['engineers'] },
    grace: { name: 'Grace Hopper', groups: [] },
    hedy: { name: 'Hedy Lamarr', groups: [] }
};

/** Whether the provider's token endpoint is out of order. */
export const outage = { now: false };

function key(kid) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' };
}

/** Starts the provider for the server whose sign-in callbacks are `redirectUris`. */
export async function startProvider(port, redirectUris, kid) {
    const issuer = `http://127.0.0.1:${port}`;
    const provider = new Provider(issuer, {
        clients: [
            {
                client_id: CLIENT_ID,
                client_secret: CLIENT_SECRET,
                redirect_uris: redirectUris,
                id_token_signed_response_alg: 'ES256'
            }
        ],
        jwks: { keys: [key(kid)] },
        acrValues: ['mfa'],
        claims: { openid: ['sub'], profile: ['name', 'groups'], acr: null, auth_time: null },
        features: { devInteractions: { enabled: false } },
        interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
        cookies: { keys: ['browser tests'] },
        ttl: { Session: 3600, Interaction: 600, Grant: 3600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
        findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) })
    });
    const callback = provider.callback();
    const server = createServer((request, response) => {
        if (outage.now && request.url.startsWith('/token')) {
            response.writeHead(503).end();
        } else if (request.url.startsWith('/interaction/')) {
            interact(provider, request, response).catch(error => response.writeHead(500).end(String(error)));
        } else {
            callback(request, response);
        }
    });
    await new Promise(ready => server.listen(port, '127.0.0.1', ready));
    return {
        issuer,
        stop: () => new Promise(done => { server.closeAllConnections(); server.close(done); })
    };
}

async function interact(provider, request, response) {
    const details = await provider.interactionDetails(request, response);
    if (request.method === 'GET') {
        response.setHeader('content-type', 'text/html; charset=utf-8');
        response.end(`<!doctype html><html lang="en"><title>The organisation's sign-in</title><form method="post">
            <label>Name <input name="user"></label>
            <button name="way" value="password">Password</button>
            <button name="way" value="mfa">Password and key</button>
            <button name="way" value="cancel">Cancel</button></form></html>`);
        return;
    }
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    if (form.get('way') === 'cancel') {
        const result = { error: 'access_denied', error_description: 'the person gave up' };
        return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    }
    const accountId = form.get('user');
    const grant = new provider.Grant({ accountId, clientId: details.params.client_id });
    grant.addOIDCScope(details.params.scope);
    const login = { accountId, ...(form.get('way') === 'mfa' && { acr: 'mfa' }) };
    const result = { login, consent: { grantId: await grant.save() } };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}
