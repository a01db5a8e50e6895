//! Just enough HTML to fill in the forms of our own pages.

use url::form_urlencoded;

/// A form as a page offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Where it goes; empty means the page's own URL.
    pub action: String,
    /// Names and values that go along unseen or prefilled.
    pub fields: Vec<(String, String)>,
    /// Its named submit buttons.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// The forms of `html` that are sent by POST, in order.
    pub fn all(html: &str) -> Vec<Self> {
        let mut forms = Vec::new();
        let mut current: Option<Self> = None;
        for tag in tags(html) {
            let get = |name| tag.attribute(name).unwrap_or_default();
            match tag.name.as_str() {
                "form" if get("method").eq_ignore_ascii_case("post") => {
                    current = Some(Self { action: get("action"), fields: Vec::new(), buttons: Vec::new() });
                }
                "/form" => forms.extend(current.take()),
                "input" | "button" => {
                    if let Some(form) = &mut current {
                        form.take_control(&tag);
                    }
                }
                _ => {}
            }
        }
        forms
    }

    fn take_control(&mut self, tag: &Tag) {
        let Some(name) = tag.attribute("name").filter(|name| !name.is_empty()) else { return };
        let kind = tag.attribute("type").unwrap_or_default();
        let value = tag.attribute("value");
        if tag.name == "button" || kind == "submit" {
            self.buttons.push((name, value.unwrap_or_default()));
        } else if !matches!(kind.as_str(), "checkbox" | "radio") || tag.attribute("checked").is_some() {
            self.fields.push((name, value.unwrap_or_else(|| default_value(&kind))));
        }
    }

    /// Whether somebody is to fill in `name`.
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// The body a browser sends when the person typed `typed` and pressed `button`.
    pub fn filled(&self, typed: &[(&str, &str)], button: Option<&(String, String)>) -> String {
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.fields {
            let typed = typed.iter().find(|(field, _)| field == name).map(|(_, text)| *text);
            body.append_pair(name, typed.unwrap_or(value));
        }
        if let Some((name, value)) = button {
            body.append_pair(name, value);
        }
        body.finish()
    }
}

/// A ticked box without a value says `on` (HTML, the default/on mode).
fn default_value(kind: &str) -> String {
    if matches!(kind, "checkbox" | "radio") { "on".to_owned() } else { String::new() }
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

/// The start and end tags of `html`, in order. Comments and text are skipped.
fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let (tag, after) = tag(after);
        tags.push(tag);
        rest = after;
    }
    tags
}

fn tag(text: &str) -> (Tag, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            break;
        }
        if let Some(after) = rest.strip_prefix('>') {
            rest = after;
            break;
        }
        let end =
            rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => attribute_value(after),
            None => (String::new(), after),
        };
        attributes.push((name.to_ascii_lowercase(), value));
        rest = after;
    }
    (Tag { name: name.to_ascii_lowercase(), attributes }, rest)
}

fn attribute_value(text: &str) -> (String, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (value, after) = inner.split_once(quote).unwrap_or((inner, ""));
            return (unescape(value), after);
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    (unescape(value), after)
}

/// The character references that escaping for HTML produces.
pub(crate) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(name, after)| Some((reference(name)?, after))) {
            Some((character, after)) => {
                plain.push(character);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!doctype html><!-- <form method=post><input name=x></form> -->
        <form method="get" action="/search"><input name="q"></form>
        <form class=card METHOD="post" action="/consent?flow=a&amp;b=c">
          <input type="hidden" name="flow" value="a&quot;b&#x27;c&#60;d">
          <input name=user autocomplete="username" required>
          <input type="checkbox" name="ticked" checked><input type="checkbox" name="open">
          <p title='a > b'>x &lt; y</p>
          <button name="decision" value="allow">Allow</button>
          <button name='decision' value='deny'>Deny</button>
          <button>Plain</button>
        </form>"#;

    #[test]
    fn the_posted_form_is_read_with_its_fields_and_buttons() {
        let forms = Form::all(PAGE);
        assert_eq!(forms.len(), 1, "{forms:?}");
        let form = &forms[0];
        assert_eq!(form.action, "/consent?flow=a&b=c");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(form.fields, [pair("flow", "a\"b'c<d"), pair("user", ""), pair("ticked", "on")]);
        assert_eq!(form.buttons, [pair("decision", "allow"), pair("decision", "deny")]);
    }

    #[test]
    fn the_body_carries_what_was_typed_and_the_button_that_was_pressed() {
        let form = Form::all(PAGE).remove(0);
        let body = form.filled(&[("user", "ada & co")], form.buttons.first());
        assert_eq!(body, "flow=a%22b%27c%3Cd&user=ada+%26+co&ticked=on&decision=allow");
    }

    #[test]
    fn broken_markup_ends_the_reading_and_not_the_program() {
        for html in [
            "<",
            "<form",
            "<form method=post",
            "<form method=\"post",
            "<!--",
            "<a b=",
            "<a b='c",
            "&#",
            "<input name",
        ] {
            assert_eq!(Form::all(html), [], "{html}");
        }
        assert_eq!(unescape("a & b &nope; &#xD800; &#65;"), "a & b &nope; &#xD800; A");
    }
}
