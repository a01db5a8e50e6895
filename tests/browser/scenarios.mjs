// What people see and what then happens, in Chromium: `scenarios.mjs [--pages] [WORD...]`. With words, only the scenarios whose
// names contain all of them run. With --pages, every page seen under a name is kept in docs/pages/.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

import { outage, people } from './provider.mjs';
import { World } from './world.mjs';

const PAGES = join(dirname(fileURLToPath(import.meta.url)), '../../docs/pages');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TARGET_MIN = 44;

const words = process.argv.slice(2).filter(word => word !== '--pages');
const keepPages = process.argv.includes('--pages');
const scenarios = [];
const scenario = (name, run, options = {}) => scenarios.push({ name, run, options });

/** One person's browser: what every page must keep to is checked on each page that is looked at. */
class Person {
    constructor(world, context) {
        Object.assign(this, { world, context });
    }

    async open(url) {
        this.page ??= await this.context.newPage();
        return this.page.goto(url);
    }

    /** At the provider. */
    async signIn(user = 'ada', way = 'password') {
        await this.page.getByLabel('Name').fill(user);
        await Promise.all([this.page.waitForLoadState('load'), this.page.locator(`button[value=${way}]`).click()]);
        await this.page.waitForURL(url => !url.pathname.startsWith('/interaction/') && !url.pathname.startsWith('/auth'));
    }

    async ask(host, changes = {}, server) {
        const request = this.world.request(host, changes, server);
        const answer = await this.open(request.url);
        return Object.assign(request, { answer });
    }

    /** Signed in, in front of the question. */
    async reachConsent(host, changes = {}, { user, way, server } = {}) {
        const request = await this.ask(host, changes, server);
        if (this.page.url().startsWith(this.world.provider.issuer)) await this.signIn(user, way);
        return request;
    }

    text() {
        return this.page.locator('body').innerText();
    }

    async press(name) {
        await this.page.getByRole('button', { name, exact: true }).click();
    }

    async allow(request) {
        await this.press('Allow');
        return this.arrive(request);
    }

    async arrive(request) {
        await this.page.waitForURL(url => url.pathname === '/callback');
        const answer = new URL(this.page.url()).searchParams;
        assert.equal(answer.get('state'), request.state);
        return answer;
    }

    /** Checks the page in front of the person; with a name, also keeps a picture of it. */
    async look(name) {
        const { page } = this;
        assert.equal(await page.locator('script').count(), 0, 'scripts');
        assert.equal(await page.locator('main').count(), 1, 'main landmark');
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(node => node.html)]), [], `axe on ${page.url()}`);
        const { width } = page.viewportSize();
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, 'wider than the window');
        for (const target of await page.locator('button, a.button, a.aside, input:not([type=hidden]), textarea').all()) {
            const box = await target.boundingBox();
            assert.ok(box.height >= TARGET_MIN && box.width >= TARGET_MIN, `target of ${box.width} x ${box.height}`);
        }
        if (name && keepPages) {
            mkdirSync(PAGES, { recursive: true });
            await page.screenshot({ path: join(PAGES, `${name}.png`), fullPage: true });
        }
    }
}

scenario('a person signs in at the provider and allows', async person => {
    const request = await person.reachConsent('notes.example', { scope: 'notes:read notes:write' });
    await person.look('consent');
    const text = await person.text();
    for (const shown of ['notes.example', 'Notes Helper', 'Team Notes', 'mcp.example', 'Ada Lovelace', 'read the notes', 'not reviewed', 'Example GmbH']) {
        assert.ok(text.includes(shown), `${shown} in ${text}`);
    }
    const h1 = await person.page.locator('h1').innerText();
    assert.ok(h1.includes('notes.example') && !h1.includes('Notes Helper'), 'the host leads');
    const answer = await person.allow(request);
    const tokens = await (await person.world.redeem(request, answer.get('code'))).json();
    assert.equal(tokens.scope, 'notes:read notes:write');
    const claims = JSON.parse(Buffer.from(tokens.access_token.split('.')[1], 'base64url'));
    assert.match(claims.sub, /^[\w-]{43}$/);
});

scenario('what was allowed for a web site is not asked again and more of it is asked alone', async person => {
    const first = await person.reachConsent('notes.example', {}, { user: 'hedy' });
    const tokens = await (await person.world.redeem(first, (await person.allow(first)).get('code'))).json();
    assert.ok(tokens.refresh_token);
    const again = await person.ask('notes.example');
    assert.ok((await person.arrive(again)).get('code'), 'asked again');
    const more = await person.ask('notes.example', { scope: 'notes:share' });
    await person.look('consent-step-up');
    const asked = await person.page.locator('main ul').first().innerText();
    assert.equal(asked.trim(), 'share notes with people outside');
    const answer = await person.allow(more);
    const wider = await (await person.world.redeem(more, answer.get('code'))).json();
    assert.deepEqual(wider.scope.split(' ').sort(), ['notes:read', 'notes:share']);
    const forced = await person.ask('notes.example', { prompt: 'consent' });
    assert.ok(!forced.answer.url().includes('/callback'));
    await person.look();
});

scenario('a program on this computer is asked about every time with a warning', async person => {
    for (const name of ['consent-loopback', undefined]) {
        const request = await person.reachConsent('cli.example');
        await person.look(name);
        assert.ok((await person.text()).includes('Any program on this computer'));
        const answer = await person.allow(request);
        await person.world.redeem(request, answer.get('code'));
    }
});

scenario('a no reaches a program at once and stays here for an unknown web site', async person => {
    const program = await person.reachConsent('cli.example');
    await person.press('Deny');
    assert.equal((await person.arrive(program)).get('error'), 'access_denied');
    const site = await person.ask('new.example');
    await person.press('Deny');
    await person.page.getByRole('heading', { name: 'You said no' }).waitFor();
    await person.look('denied');
    await person.page.getByRole('link', { name: /Back to/ }).click();
    assert.equal((await person.arrive(site)).get('error'), 'access_denied');
});

scenario('hosts that look like others are called by their names', async person => {
    await person.reachConsent('claude.example');
    await person.look('consent-look-alike');
    assert.ok((await person.text()).includes('This is not claude.ai'));
    await person.ask('xn--mnchen-3ya.example');
    assert.ok((await person.text()).includes('münchen.example'));
});

scenario('names with markup and hidden letters are shown harmlessly', async person => {
    // A host each: failed documents count against their host.
    const names = [
        ['<b>Claude</b><script>alert(1)</script>', '<b>Claude</b><script>alert(1)</script>'],
        ['\u202eedualC\u2066\u200b', 'edualC'],
        ['Clаude סוכן', 'Clаude סוכן'],
        ['x'.repeat(1000), `${'x'.repeat(120)}…`]
    ];
    for (const [index, [name, shown]] of names.entries()) {
        const host = `nasty-${index}.example`;
        person.world.documents[host].client_name = name;
        await person.reachConsent(host);
        const text = await person.text();
        // A document may also be refused for it; then nothing of it is shown.
        assert.ok(text.includes(shown) || text.includes('cannot be verified'), `${shown} in ${text}`);
        assert.equal(await person.page.locator('main b, main script').count(), 0);
        await person.look(text.includes('cannot be verified') ? 'client-invalid' : undefined);
    }
});

scenario('somebody else can sign in from the question', async person => {
    await person.reachConsent('cli.example');
    await person.page.getByRole('link', { name: 'Not you?' }).click();
    await person.signIn('grace');
    assert.ok((await person.text()).includes('Grace Hopper'));
    await person.look();
});

scenario('two tabs go their own ways and a form sent twice counts once', async person => {
    const first = await person.reachConsent('cli.example');
    const other = new Person(person.world, person.context);
    const second = await other.reachConsent('new.example');
    await other.allow(second);
    const answer = await person.allow(first);
    await person.page.goBack();
    await person.press('Allow').catch(() => undefined);
    assert.ok(answer.get('code'));
});

scenario('a page that has expired says what to do', async person => {
    await person.reachConsent('cli.example');
    await person.context.clearCookies();
    await person.press('Allow');
    await person.page.getByRole('heading', { name: 'This page has expired' }).waitFor();
    await person.look('expired');
});

scenario('an account page ends what is connected at once', async person => {
    const tokens = [];
    for (const host of ['cli.example', 'cli.example', 'notes.example']) {
        const request = await person.reachConsent(host, {}, { user: 'grace' });
        const answer = person.page.url().includes('/callback') ? await person.arrive(request) : await person.allow(request);
        tokens.push([request, (await (await person.world.redeem(request, answer.get('code'))).json()).refresh_token]);
    }
    await person.open(`${person.world.main}/account`);
    await person.look('account');
    assert.equal(await person.page.locator('section').count(), 2);
    await person.page.getByRole('button', { name: /Disconnect everywhere/ }).click();
    await person.page.getByRole('status').waitFor();
    assert.equal(await person.page.locator('section').count(), 1);
    for (const [request, token] of tokens) {
        const answer = await person.world.refresh(request, token);
        assert.equal(answer.status, request.clientId.includes('cli.example') ? 400 : 200);
    }
    await person.press('Disconnect all applications');
    await person.page.getByText('No application is connected.').waitFor();
    await person.look('account-empty');
    await person.press('Sign out');
    await person.page.getByRole('heading', { name: 'You are signed out here' }).waitFor();
    await person.look('signed-out');
});

scenario('a stranger signs in on the way to the account page', async person => {
    await person.open(`${person.world.main}/account`);
    await person.signIn();
    assert.equal(new URL(person.page.url()).pathname, '/account');
});

scenario('a sign-in that is cancelled or too weak can be tried again', async person => {
    await person.ask('cli.example', {}, person.world.mfa);
    await person.signIn('ada', 'cancel');
    await person.look('sign-in-denied');
    await person.page.getByRole('link', { name: 'Try again' }).click();
    await person.signIn('ada', 'password');
    assert.ok((await person.text()).includes('not strong enough'));
    await person.context.clearCookies({ domain: '127.0.0.1', name: /^_/ });
    await person.page.getByRole('link', { name: 'Try again' }).click();
    await person.signIn('ada', 'mfa');
    assert.ok((await person.text()).includes('Ada Lovelace'));
});

scenario('groups are those of the last sign-in', async person => {
    people.ada.name = 'Ada King';
    await person.reachConsent('cli.example');
    assert.ok((await person.text()).includes('Ada King'));
    people.ada.name = 'Ada Lovelace';
});

scenario('a tool that waits for approval says so and takes a reason', async person => {
    await person.reachConsent('cli.example', {}, { server: person.world.approval });
    await person.look('pending');
    await person.page.getByLabel(/Why do you need it/).fill('For my notes');
    await person.press('Send');
    await person.page.getByRole('status').waitFor();
    await person.look('pending-thanks');
});

scenario('pages for what is wrong say what to do', async person => {
    const { main } = person.world;
    for (const [path, status, name] of [
        ['/authorize?client_id=x', 400, 'request-broken'],
        ['/nowhere', 404, 'not-found'],
        ['/consent?flow=AAAAAAAAAAAAAAAAAAAAAA', 400, undefined]
    ]) {
        const answer = await person.open(main + path);
        assert.equal(answer.status(), status, path);
        const headers = answer.headers();
        assert.ok(headers['content-security-policy'].includes("frame-ancestors 'none'"));
        assert.ok(!headers['content-security-policy'].includes('unsafe'));
        for (const [header, value] of Object.entries({
            'referrer-policy': 'no-referrer', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff',
            'cross-origin-opener-policy': 'same-origin'
        })) assert.equal(headers[header], value, `${header} of ${path}`);
        await person.look(name);
    }
    await person.reachConsent('cli.example', { redirect_uri: 'https://new.example/elsewhere' });
    await person.look('redirect-unknown');
    await person.ask('cli.example', { client_id: 'nobody-knows-me' });
    await person.look('client-unknown');
});

scenario('the pages speak German', async person => {
    await person.reachConsent('cli.example');
    await person.look('consent-german');
    assert.equal(await person.page.locator('html').getAttribute('lang'), 'de');
    assert.ok((await person.text()).includes('bittet um Zugriff'));
}, { locale: 'de-DE' });

scenario('the pages are legible in the dark', async person => {
    await person.reachConsent('cli.example');
    await person.look('consent-dark');
}, { colorScheme: 'dark' });

scenario('the pages fit a telephone', async person => {
    await person.reachConsent('claude.example', { scope: 'notes:read notes:write notes:share' });
    await person.look('consent-phone');
}, { viewport: { width: 320, height: 640 } });

// Last, because they change the provider for all who come after.

scenario('a provider with new keys is believed', async person => {
    await person.world.provider.stop();
    await person.world.startProvider('second');
    await person.reachConsent('cli.example');
    assert.ok((await person.text()).includes('Ada Lovelace'));
});

scenario('while the provider is down the page says so', async person => {
    await person.ask('cli.example', {}, person.world.mfa);
    const landing = person.page.waitForResponse(response => response.url().includes('/sign-in/callback'));
    outage.now = true;
    await person.signIn('ada', 'mfa');
    const answer = await landing;
    assert.equal(answer.status(), 503);
    await person.page.getByRole('heading', { name: 'Sign-in is not available right now' }).waitFor();
    await person.look('sign-in-unavailable');
});

const world = new World();
let passed = 0;
let failed = 0;
try {
    await world.start(process.env.LOCAL_BIN);
    const browser = await chromium.launch({
        executablePath: process.env.CHROMIUM,
        args: [
            '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync', '--no-proxy-server', '--host-resolver-rules=MAP *.example 127.0.0.1'
        ]
    });
    for (const { name, run, options } of scenarios) {
        if (!words.every(word => name.includes(word))) continue;
        const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', viewport: { width: 800, height: 900 }, ...options });
        context.setDefaultTimeout(10_000);
        const person = new Person(world, context);
        try {
            await run(person);
            passed += 1;
            console.log(`ok ${name}`);
        } catch (error) {
            failed += 1;
            console.log(`FAILED ${name}\n${error.stack}\n${person.page?.url()}\n${await person.text?.().catch(() => '')}`);
        }
        await context.close();
    }
    await browser.close();
} finally {
    await world.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
