// What the JavaScript clients share: the loopback listener to which the browser comes back, and the browser.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';

/** Listens on a free port of `host` (`127.0.0.1`, `localhost` or `[::1]`); `queries` collects what comes back. */
export async function listen(host) {
    const queries = [];
    const server = createServer((request, response) => {
        queries.push(new URL(request.url, 'http://callback').search.slice(1));
        response.setHeader('content-type', 'text/plain').end('You can close this window.');
    });
    await new Promise(ready => server.listen(0, host === '[::1]' ? '::1' : '127.0.0.1', ready));
    return { queries, redirectUri: `http://${host}:${server.address().port}/callback`, close: () => server.close() };
}

/** Opens `url` in the browser and waits until it has come to rest. */
export async function browse(url) {
    const browser = spawn(process.env.BROWSER, [String(url)], { stdio: ['ignore', 'ignore', 'inherit'] });
    const code = await new Promise(done => browser.on('close', done));
    if (code !== 0) throw new Error('the browser did not come back');
}

/** A query as ordered pairs, so that a repeated parameter shows. */
export const pairs = query => [...new URLSearchParams(query)];
