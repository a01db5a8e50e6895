// A protected MCP server built with the MCP TypeScript SDK: `resource_typescript_sdk.mjs PORT ISSUER`.
//
// It names the authorization server in its RFC 9728 metadata and accepts the access tokens of RFC 9068 only.

import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const SCOPE = 'tools:call';
const [port, issuer] = [Number(process.argv[2]), process.argv[3]];
const resource = new URL(`http://127.0.0.1:${port}/mcp`);

const oauthMetadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(oauthMetadata.jwks_uri));

const verifier = {
    async verifyAccessToken(token) {
        let claims;
        try {
            ({ payload: claims } = await jwtVerify(token, keys, {
                issuer,
                audience: resource.href,
                typ: 'at+jwt',
                algorithms: ['ES256'],
                requiredClaims: ['exp', 'iat', 'sub', 'jti', 'client_id', 'scope']
            }));
        } catch (error) {
            if (error instanceof errors.JOSEError) throw new InvalidTokenError(error.message);
            throw error;
        }
        return { token, clientId: claims.client_id, scopes: claims.scope.split(' '), expiresAt: claims.exp, resource: new URL(claims.aud), extra: claims };
    }
};

const app = createMcpExpressApp();
app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: resource, scopesSupported: [SCOPE], resourceName: 'interop' }));
const protect = requireBearerAuth({
    verifier,
    requiredScopes: [SCOPE],
    resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resource),
    expectedResource: resource
});
app.post('/mcp', protect, async (request, response) => {
    const server = new McpServer({ name: 'interop', version: '1.0.0' });
    server.registerTool('whoami', { description: 'The claims of the token that came with this call' }, ({ authInfo }) => ({
        content: [{ type: 'text', text: JSON.stringify(authInfo.extra) }]
    }));
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    response.on('close', () => void server.close());
    await server.connect(transport);
    await transport.handleRequest(request, response, request.body);
});
app.all('/mcp', protect, (_, response) => response.status(405).set('Allow', 'POST').end());
app.listen(port, '127.0.0.1');
