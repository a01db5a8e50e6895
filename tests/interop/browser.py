#!/usr/bin/env python3
"""A scripted browser: opens a URL as a person's browser would, signs in, and decides on the consent page.

Clients start it as they start a real one: `$BROWSER URL`. It knows nothing of this project's pages. It reads
forms as HTML defines them, picks a button by the words on it, and follows redirects until one arrives at the
client's own callback listener.

It applies the browser rules on which authorization servers are known to break:

* `Secure` and `__Host-` cookies are not stored over plain http, and a cookie goes back only to its own host;
* CSP `form-action` covers every redirect that follows a form's submission (Chromium, WebKit);
* a form's POST carries `Origin`, which is `null` on a page with `Referrer-Policy: no-referrer` (Fetch, section
  "append a request Origin header"), and `Sec-Fetch-*`.

Environment: `BROWSER_USER` (name typed at sign-in), `BROWSER_DECISION` (`allow` or `deny`), `BROWSER_PROFILE`
(file with the cookies of earlier runs), `BROWSER_LOG` (one JSON line per page or redirect is appended).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

HOPS_MAX = 30  # a person's browser gives up after 20; two redirects per form are normal here
TIMEOUT_SECONDS = 20

ALLOW = re.compile(r"\b(allow|approve|authori[sz]e|accept|agree|continue|sign in|log in|yes|connect)\b", re.I)
DENY = re.compile(r"\b(deny|cancel|refuse|decline|reject|do(n.t| not) allow|no)\b", re.I)


class BrowserError(Exception):
    """What a person would see as "it does not work"."""


class Page(HTMLParser):
    """The forms, words and outside resources of an HTML page."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.forms: list[dict] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.scripts = 0
        self._form: dict | None = None
        self._button: dict | None = None
        self._silent = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        a = {name: value or "" for name, value in attrs}
        if tag in ("style", "script", "title", "template"):
            self._silent += 1
        if tag == "script":
            self.scripts += 1
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag == "form":
            self._form = {
                "action": a.get("action", ""),
                "method": a.get("method", "get").lower(),
                "fields": [],
                "buttons": [],
            }
            self.forms.append(self._form)
        form = self._form
        if form is None or "disabled" in a:
            return
        if tag == "input":
            kind = a.get("type", "text").lower()
            if kind in ("submit", "image"):
                form["buttons"].append(
                    {"name": a.get("name", ""), "value": a.get("value", ""), "words": a.get("value", "Submit")}
                    | action_of(a)
                )
            elif kind not in ("button", "reset", "file"):
                form["fields"].append(
                    {
                        "name": a.get("name", ""),
                        "kind": kind,
                        "value": a.get("value", "on" if kind in ("checkbox", "radio") else ""),
                        "checked": "checked" in a,
                        "required": "required" in a,
                    }
                )
        elif tag == "button" and a.get("type", "submit").lower() == "submit":
            self._button = {
                "name": a.get("name", ""),
                "value": a.get("value", ""),
                "words": a.get("aria-label", ""),
            } | action_of(a)
            form["buttons"].append(self._button)

    def handle_endtag(self, tag):
        if tag in ("style", "script", "title", "template"):
            self._silent -= 1
        if tag == "form":
            self._form = None
        if tag == "button":
            self._button = None

    def handle_data(self, data):
        if self._silent:
            return
        if self._button is not None:
            self._button["words"] += data
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words)).strip()


def action_of(attributes: dict) -> dict:
    """A button's own `formaction` and `formmethod`, which win over its form's."""
    return {key: attributes[key] for key in ("formaction", "formmethod") if key in attributes}


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def directive(policy: str, name: str) -> list[str] | None:
    """The sources of one directive of a Content-Security-Policy, or nothing when it is not set."""
    for part in policy.split(";"):
        words = part.split()
        if words and words[0].lower() == name:
            return words[1:]
    return None


def source_matches(source: str, url: str, page: str) -> bool:
    """Whether a CSP source expression covers a URL (CSP level 3, section 6.7.2, what form-action needs of it)."""
    parts, lowered = urlsplit(url), source.lower()
    if lowered == "'none'":
        return False
    if lowered == "'self'":
        return origin_of(url) == origin_of(page)
    if lowered == "*":
        return parts.scheme in ("http", "https")
    if re.fullmatch(r"[a-z][a-z0-9+.-]*:", lowered):
        return parts.scheme == lowered[:-1] or (lowered == "http:" and parts.scheme == "https")
    match = re.fullmatch(
        r"(?:([a-z][a-z0-9+.-]*)://)?(\*|(?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d+|\*))?(/.*)?", lowered
    )
    if match is None:
        return False
    scheme, host, port, path = match.groups()
    # CSP's host grammar has no IPv6 literals, so browsers never match one.
    if host.startswith("["):
        return False
    if scheme and scheme != parts.scheme and not (scheme == "http" and parts.scheme == "https"):
        return False
    name = parts.hostname or ""
    if host.startswith("*.") and not name.endswith(host[1:]):
        return False
    if not host.startswith("*") and host != name:
        return False
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if port != "*" and int(port or default or 0) != (parts.port or default):
        return False
    return not path or path == "/" or parts.path == path or (path.endswith("/") and parts.path.startswith(path))


class Jar:
    """Cookies by host, with the rules that matter here; ports share cookies as in real browsers."""

    def __init__(self, path: str | None):
        self.path = Path(path) if path else None
        self.cookies: dict[str, dict[str, dict]] = {}
        if self.path and self.path.exists():
            self.cookies = json.loads(self.path.read_text())

    def store(self, url: str, headers) -> list[str]:
        parts, stored = urlsplit(url), []
        for line in headers.get_all("set-cookie") or []:
            pair, *rest = line.split(";")
            name, _, value = pair.strip().partition("=")
            attributes = {key.strip().lower(): val.strip() for key, _, val in (item.partition("=") for item in rest)}
            secure = parts.scheme == "https"
            if "secure" in attributes and not secure:
                raise BrowserError(f"cookie {name} is marked Secure on {origin_of(url)} and would be dropped")
            if name.startswith(("__Host-", "__Secure-")) and not secure:
                raise BrowserError(f"cookie {name} cannot be set over plain http")
            if "httponly" not in attributes:
                raise BrowserError(f"cookie {name} is readable for scripts")
            if attributes.get("samesite", "").lower() not in ("lax", "strict"):
                raise BrowserError(f"cookie {name} has no SameSite")
            host = self.cookies.setdefault(parts.hostname or "", {})
            if attributes.get("max-age", "1").lstrip("-").isdigit() and int(attributes.get("max-age", "1")) <= 0:
                host.pop(name, None)
                continue
            path = attributes.get("path") or parts.path.rsplit("/", 1)[0] or "/"
            host[name] = {"value": value, "path": path, "samesite": attributes["samesite"].lower()}
            stored.append(name)
        return stored

    def header(self, url: str) -> str:
        parts = urlsplit(url)
        sent = []
        for name, cookie in self.cookies.get(parts.hostname or "", {}).items():
            path, wanted = cookie["path"], parts.path or "/"
            if wanted == path or wanted.startswith(path if path.endswith("/") else path + "/"):
                sent.append(f"{name}={cookie['value']}")
        return "; ".join(sent)

    def save(self):
        if self.path:
            self.path.write_text(json.dumps(self.cookies))


class Browser:
    def __init__(self, user: str, decision: str, profile: str | None = None, log: str | None = None):
        self.user, self.decision = user, decision
        self.jar, self.log = Jar(profile), log

    def note(self, **entry):
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def request(self, method: str, url: str, body: str | None, headers: dict[str, str]):
        parts = urlsplit(url)
        if parts.scheme != "http":
            raise BrowserError(f"this browser is kept on loopback and does not open {url}")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        if host not in ("127.0.0.1", "::1"):
            raise BrowserError(f"this browser is kept on loopback and does not open {url}")
        connection = http.client.HTTPConnection(host, parts.port or 80, timeout=TIMEOUT_SECONDS)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            cookies = self.jar.header(url)
            connection.request(
                method,
                target,
                body=body,
                headers={
                    "Host": parts.netloc,
                    "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
                    "Accept-Language": "en",
                    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) scripted-browser",
                    "Upgrade-Insecure-Requests": "1",
                }
                | ({"Cookie": cookies} if cookies else {})
                | headers,
            )
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def open(self, url: str) -> str:
        """Goes where `url` leads and returns the URL of the last page."""
        method, body, headers = (
            "GET",
            None,
            {
                "Sec-Fetch-Site": "none",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
                "Sec-Fetch-User": "?1",
            },
        )
        form_page, form_sources, seen = "", None, []
        for _ in range(HOPS_MAX):
            status, response, text = self.request(method, url, body, headers)
            cookies = self.jar.store(url, response)
            if status in (301, 302, 303, 307, 308):
                target = urljoin(url, response.get("location", ""))
                self.note(
                    kind="redirect",
                    status=status,
                    url=url,
                    location=target,
                    headers=dict(response.items()),
                    cookies=cookies,
                )
                if form_sources is not None and not any(source_matches(s, target, form_page) for s in form_sources):
                    raise BrowserError(f"form-action {form_sources} of {form_page} blocks the redirect to {target}")
                if urlsplit(target).scheme != "http":
                    return target
                if status in (301, 302, 303):
                    method, body = "GET", None
                headers = {key: value for key, value in headers.items() if key.startswith("Sec-Fetch")}
                if origin_of(target) != origin_of(url) and headers["Sec-Fetch-Site"] != "none":
                    headers["Sec-Fetch-Site"] = "cross-site"
                url = target
                continue

            page = Page(text) if "html" in response.get("content-type", "") else None
            self.note(
                kind="page",
                status=status,
                url=url,
                headers=dict(response.items()),
                cookies=cookies,
                text=page.text if page else text,
                scripts=page.scripts if page else 0,
                forms=page.forms if page else [],
            )
            if page is None or status != 200:
                return url
            if not page.forms:
                # A server may leave a person who refused on its own page, with a way back to the client.
                away = [
                    link for link in (urljoin(url, link) for link in page.links) if origin_of(link) != origin_of(url)
                ]
                if self.decision != "deny" or not away:
                    return url
                method, url, body, form_sources = "GET", away[0], None, None
                headers = {
                    "Sec-Fetch-Site": "cross-site",
                    "Sec-Fetch-Mode": "navigate",
                    "Sec-Fetch-Dest": "document",
                    "Sec-Fetch-User": "?1",
                }
                continue
            # The same page again with the same answer would go round for ever.
            form, button = self.decide(page)
            fields = self.fill(form)
            if button["name"]:
                fields.append((button["name"], button["value"]))
            key = (urlsplit(url).path, tuple(fields))
            if key in seen:
                raise BrowserError(f"{url} shows the same form again: {page.text[:300]}")
            seen.append(key)

            action = urljoin(url, button.get("formaction", form["action"]) or url)
            form_page, form_sources = url, directive(response.get("content-security-policy", ""), "form-action")
            if form_sources is not None and not any(source_matches(s, action, url) for s in form_sources):
                raise BrowserError(f"form-action {form_sources} of {url} blocks its own form to {action}")
            method = button.get("formmethod", form["method"]).upper()
            same = origin_of(action) == origin_of(url)
            headers = {
                "Sec-Fetch-Site": "same-origin" if same else "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
                "Sec-Fetch-User": "?1",
            }
            policy = response.get("referrer-policy", "strict-origin-when-cross-origin").split(",")[-1].strip()
            if policy not in ("no-referrer",):
                headers["Referer"] = url if same and policy != "strict-origin" else origin_of(url) + "/"
            if method == "POST":
                hidden = policy == "no-referrer" or (policy == "same-origin" and not same)
                headers |= {
                    "Origin": "null" if hidden else origin_of(url),
                    "Content-Type": "application/x-www-form-urlencoded",
                }
                url, body = action, urlencode(fields)
            else:
                url, body = action.split("?")[0] + "?" + urlencode(fields), None
        raise BrowserError(f"too many redirects, last {url}")

    def decide(self, page: Page) -> tuple[dict, dict]:
        """The form and the button a person would press."""
        choices = [
            (form, button)
            for form in page.forms
            for button in form["buttons"] or [{"name": "", "value": "", "words": "Submit"}]
        ]
        typed = [
            choice for choice in choices if any(f["kind"] in ("text", "email", "password") for f in choice[0]["fields"])
        ]
        if typed:
            return typed[0]
        yes = [c for c in choices if ALLOW.search(c[1]["words"]) and not DENY.search(c[1]["words"])]
        no = [c for c in choices if DENY.search(c[1]["words"])]
        if not yes:
            raise BrowserError(f"no button to go on with among {[c[1]['words'].strip() for c in choices]}")
        if self.decision == "deny" and no:
            return no[0]
        return yes[0]

    def fill(self, form: dict) -> list[tuple[str, str]]:
        fields = []
        for field in form["fields"]:
            if not field["name"]:
                continue
            if field["kind"] in ("checkbox", "radio"):
                if field["checked"] or (field["required"] and field["kind"] == "checkbox"):
                    fields.append((field["name"], field["value"]))
            elif field["kind"] in ("text", "email"):
                fields.append((field["name"], field["value"] or self.user))
            elif field["kind"] == "password":
                raise BrowserError("a password is asked for; there are none here")
            else:
                fields.append((field["name"], field["value"]))
        return fields


def main() -> int:
    browser = Browser(
        os.environ.get("BROWSER_USER", "alice"),
        os.environ.get("BROWSER_DECISION", "allow"),
        os.environ.get("BROWSER_PROFILE"),
        os.environ.get("BROWSER_LOG"),
    )
    try:
        last = browser.open(sys.argv[1])
    except (BrowserError, OSError) as error:
        browser.note(kind="error", text=str(error))
        print(f"browser: {error}", file=sys.stderr)
        return 1
    finally:
        browser.jar.save()
    print(last)
    return 0


if __name__ == "__main__":
    sys.exit(main())
