// What surrounds the browser: the server, certificates, and the hosts of the applications. Everything listens on free ports of
// loopback, and everything that was started ends with `close`, by its process id.

import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CLIENT_ID, CLIENT_SECRET, startProvider } from './provider.mjs';

export const RESOURCE = 'https://mcp.example/notes';
export const HOSTS = ['notes.example', 'cli.example', 'claude.example', 'xn--mnchen-3ya.example', 'nasty-0.example', 'nasty-1.example', 'nasty-2.example', 'nasty-3.example',
    'new.example'];

async function freePort() {
    const probe = createServer();
    await new Promise(ready => probe.listen(0, '127.0.0.1', ready));
    const { port } = probe.address();
    await new Promise(done => probe.close(done));
    return port;
}

function openssl(folder, ...args) {
    const done = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`openssl ${args[0]}: ${done.stderr}`);
}

function certificates(folder) {
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl(folder, 'req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=browser tests', '-days', '2');
    openssl(folder, 'req', ...ec, '-keyout', 'hosts.key', '-out', 'hosts.csr', '-subj', '/CN=hosts');
    writeFileSync(join(folder, 'hosts.ext'), `basicConstraints=CA:FALSE\nsubjectAltName=${HOSTS.map(host => `DNS:${host}`).join(',')}\n`);
    openssl(folder, 'x509', '-req', '-in', 'hosts.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'hosts.pem',
        '-days', '2', '-extfile', 'hosts.ext');
}

/** The applications' hosts: each serves its document and whatever comes back to it. */
async function startHosts(folder, documents) {
    const options = { key: readFileSync(join(folder, 'hosts.key')), cert: readFileSync(join(folder, 'hosts.pem')) };
    const server = createHttpsServer(options, (request, response) => {
        const [host] = request.headers.host.split(':');
        const document = request.url === '/client.json' ? documents[host] : undefined;
        if (document) {
            response.setHeader('content-type', 'application/json');
            response.setHeader('cache-control', 'no-store');
            response.end(JSON.stringify(document));
        } else if (request.url.startsWith('/callback')) {
            response.setHeader('content-type', 'text/html').end('<!doctype html><title>Application</title>Welcome back');
        } else {
            response.writeHead(404).end();
        }
    });
    await new Promise(ready => server.listen(0, '127.0.0.1', ready));
    return server;
}

export class World {
    folder = mkdtempSync(join(tmpdir(), 'browser-'));
    processes = [];
    documents = {};

    async start(localBin) {
        this.localBin = localBin;
        certificates(this.folder);
        this.hosts = await startHosts(this.folder, this.documents);
        this.hostPort = this.hosts.address().port;
        this.program = createHttpServer((_, response) => response.end('You can close this window.'));
        await new Promise(ready => this.program.listen(0, '127.0.0.1', ready));
        for (const host of HOSTS) this.documents[host] = this.document(host, 'https');
        this.documents['cli.example'] = this.document('cli.example', 'loopback');
        this.documents['notes.example'].client_name = 'Notes Helper';
        writeFileSync(join(this.folder, 'secret'), CLIENT_SECRET);
        writeFileSync(join(this.folder, 'seed.json'), JSON.stringify({
            resources: [{
                resource: RESOURCE,
                name: 'Team Notes',
                scopes: [
                    { name: 'notes:read', description: 'read the notes of your teams' },
                    { name: 'notes:write', description: 'change the notes of your teams' },
                    { name: 'notes:share', description: 'share notes with people outside' }
                ],
                default_scopes: ['notes:read']
            }]
        }));
        this.ports = { main: await freePort(), mfa: await freePort(), approval: await freePort() };
        this.providerPort = await freePort();
        await this.startProvider('first');
        const branding = ['--set', 'branding.name=Example GmbH', '--set', 'branding.support=help@example.com'];
        const urls = await Promise.all([
            this.serve('main', branding),
            this.serve('mfa', ['--upstream-acr-values', 'mfa']),
            this.serve('approval', ['--set', 'metadata_documents.mode=approval'])
        ]);
        [this.main, this.mfa, this.approval] = urls;
    }

    document(host, kind) {
        const at = `https://${host}:${this.hostPort}`;
        return {
            client_id: `${at}/client.json`,
            client_name: `Helper of ${host}`,
            redirect_uris: kind === 'https' ? [`${at}/callback`] : ['http://127.0.0.1/callback'],
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'],
            token_endpoint_auth_method: 'none'
        };
    }

    async startProvider(kid) {
        const uris = Object.values(this.ports).map(port => `http://127.0.0.1:${port}/sign-in/callback`);
        this.provider = await startProvider(this.providerPort, uris, kid);
    }

    async serve(name, more) {
        const url = `http://127.0.0.1:${this.ports[name]}`;
        const resolves = HOSTS.flatMap(host => ['--resolve', `${host}:${this.hostPort}:127.0.0.1`]);
        const server = spawn(this.localBin, [
            '--listen', `127.0.0.1:${this.ports[name]}`,
            '--seed', join(this.folder, 'seed.json'),
            '--trust-ca', join(this.folder, 'ca.pem'),
            '--upstream-issuer', this.provider.issuer,
            '--upstream-client-id', CLIENT_ID,
            '--upstream-client-secret-file', join(this.folder, 'secret'),
            ...resolves, ...more
        ], { stdio: ['ignore', 'pipe', 'pipe'] });
        this.processes.push(server);
        let output = '';
        for (const stream of [server.stdout, server.stderr]) stream.on('data', chunk => { output += chunk; });
        for (let attempt = 0; attempt < 300; attempt += 1) {
            if (server.exitCode !== null) break;
            const answer = await fetch(`${url}/.well-known/oauth-authorization-server`).catch(() => undefined);
            if (answer?.ok) return url;
            await new Promise(done => setTimeout(done, 100));
        }
        throw new Error(`${name} does not answer:\n${output}`);
    }

    /** An authorization request of the application at `host`, and what is needed to redeem its code. */
    request(host, changes = {}, server = this.main) {
        const verifier = randomBytes(32).toString('base64url');
        const document = this.documents[host];
        const loopback = document.redirect_uris[0].startsWith('http://127.0.0.1');
        const redirectUri = loopback ? `http://127.0.0.1:${this.program.address().port}/callback` : document.redirect_uris[0];
        const query = new URLSearchParams({
            response_type: 'code', client_id: document.client_id, redirect_uri: redirectUri, state: randomBytes(8).toString('hex'),
            resource: RESOURCE, scope: 'notes:read', code_challenge: createHash('sha256').update(verifier).digest('base64url'),
            code_challenge_method: 'S256', ...changes
        });
        return { url: `${server}/authorize?${query}`, verifier, redirectUri, clientId: document.client_id, state: query.get('state') };
    }

    async redeem(request, code, server = this.main) {
        return fetch(`${server}/token`, {
            method: 'POST',
            body: new URLSearchParams({
                grant_type: 'authorization_code', code, client_id: request.clientId, redirect_uri: request.redirectUri,
                code_verifier: request.verifier, resource: RESOURCE
            })
        });
    }

    async refresh(request, token, server = this.main) {
        return fetch(`${server}/token`, {
            method: 'POST',
            body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, client_id: request.clientId })
        });
    }

    async close() {
        for (const server of this.processes) {
            const ended = new Promise(done => server.once('exit', done));
            if (server.exitCode === null && server.kill('SIGTERM')) await ended;
        }
        await this.provider?.stop();
        for (const server of [this.hosts, this.program]) {
            server?.closeAllConnections();
            server?.close();
        }
        rmSync(this.folder, { recursive: true, force: true });
    }
}
