//! Whose pages people see: the operator's name, mark, colours, and where to ask.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Characters of the operator's name.
pub const NAME_CHARS_MAX: usize = 60;

/// Bytes of the logo: it stands in the policy document, which every process holds in memory.
pub const LOGO_BYTES_MAX: usize = 32 * 1024;

/// Contrast of the accent colour with the page's ground (WCAG 2.2 §1.4.3).
const CONTRAST_MIN: f64 = 4.5;

/// The ground of our pages, light and dark. `templates/style.css` has the same.
const GROUND_LIGHT: Colour = Colour { red: 0xff, green: 0xff, blue: 0xff };
const GROUND_DARK: Colour = Colour { red: 0x15, green: 0x17, blue: 0x1a };

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The operator, as pages show them. Everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Branding {
    /// The operator's name.
    pub name: String,
    /// The operator's mark: a PNG, base64. Served from our own origin.
    pub logo_png: String,
    /// Colour of links, focus, and buttons on a light ground, `#rrggbb`.
    pub accent_light: String,
    /// The same on a dark ground.
    pub accent_dark: String,
    /// Whom people can ask: an e-mail address or an https URL.
    pub support: String,
}

/// Why a branding is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrandingError {
    /// Too long, or with control characters.
    #[error("the name must be at most 60 characters without control characters")]
    Name,
    /// Not a PNG of at most [`LOGO_BYTES_MAX`].
    #[error("the logo must be a PNG of at most 32 KiB in base64")]
    Logo,
    /// Not `#rrggbb`, or not legible.
    #[error("{0} must be #rrggbb with a contrast of 4.5 to the page's ground")]
    Accent(&'static str),
    /// Neither an address nor an https URL.
    #[error("support must be an e-mail address or an https URL")]
    Support,
}

impl Branding {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`BrandingError`] with the first thing that is wrong.
    pub fn check(&self) -> Result<(), BrandingError> {
        if self.name.chars().count() > NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            return Err(BrandingError::Name);
        }
        if !self.logo_png.is_empty() && self.logo().is_none() {
            return Err(BrandingError::Logo);
        }
        for (setting, text, ground) in [
            ("accent_light", &self.accent_light, GROUND_LIGHT),
            ("accent_dark", &self.accent_dark, GROUND_DARK),
        ] {
            let legible = Colour::parse(text).is_some_and(|colour| colour.contrast(ground) >= CONTRAST_MIN);
            if !text.is_empty() && !legible {
                return Err(BrandingError::Accent(setting));
            }
        }
        if self.support.is_empty() || self.support_link().is_some() {
            Ok(())
        } else {
            Err(BrandingError::Support)
        }
    }

    /// The logo's bytes.
    pub fn logo(&self) -> Option<Vec<u8>> {
        if self.logo_png.is_empty() || self.logo_png.len() > LOGO_BYTES_MAX / 3 * 4 + 4 {
            return None;
        }
        let bytes = STANDARD.decode(&self.logo_png).ok()?;
        (bytes.len() <= LOGO_BYTES_MAX && bytes.starts_with(PNG_SIGNATURE)).then_some(bytes)
    }

    /// What a link to the support leads to.
    pub fn support_link(&self) -> Option<String> {
        let text = self.support.as_str();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\".contains(&byte));
        if !plain || text.len() > 200 {
            return None;
        }
        if text.starts_with("https://") {
            return url::Url::parse(text).ok().map(String::from);
        }
        let (local, domain) = text.split_once('@')?;
        (!local.is_empty() && domain.contains('.') && !domain.contains(['@', '/', '?', ':']))
            .then(|| format!("mailto:{text}"))
    }
}

#[derive(Clone, Copy)]
struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

impl Colour {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        Some(Self { red: part(0)?, green: part(2)?, blue: part(4)? })
    }

    /// WCAG 2.2, "relative luminance".
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }

    /// WCAG 2.2, "contrast ratio".
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        if one > other { one / other } else { other / one }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legible_branding_is_accepted() {
        let branding = Branding {
            name: "Example GmbH".to_owned(),
            logo_png: STANDARD.encode(PNG_SIGNATURE),
            accent_light: "#0b5cad".to_owned(),
            accent_dark: "#8cc2ff".to_owned(),
            support: "help@example.com".to_owned(),
        };
        assert_eq!(branding.check(), Ok(()));
        assert_eq!(branding.support_link().as_deref(), Some("mailto:help@example.com"));
        assert_eq!(Branding::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_read_or_followed_safely_is_refused() {
        let check = |change: &dyn Fn(&mut Branding)| {
            let mut branding = Branding::default();
            change(&mut branding);
            branding.check()
        };
        assert_eq!(check(&|b| b.name = "x".repeat(61)), Err(BrandingError::Name));
        assert_eq!(check(&|b| b.name = "a\nb".to_owned()), Err(BrandingError::Name));
        for logo in ["!", "PHN2Zz4=", &STANDARD.encode([PNG_SIGNATURE, &vec![0; LOGO_BYTES_MAX]].concat())] {
            assert_eq!(check(&|b| b.logo_png = logo.to_owned()), Err(BrandingError::Logo));
        }
        for colour in ["#fff", "#ffff00", "red", "#0b5ca", "#0b5cag"] {
            assert_eq!(
                check(&|b| b.accent_light = colour.to_owned()),
                Err(BrandingError::Accent("accent_light")),
                "{colour}"
            );
        }
        assert_eq!(
            check(&|b| b.accent_dark = "#0b5cad".to_owned()),
            Err(BrandingError::Accent("accent_dark"))
        );
        for support in
            ["javascript:alert(1)", "http://a.example", "a@b", "\"@a.example", "a b@c.example", "x"]
        {
            assert_eq!(check(&|b| b.support = support.to_owned()), Err(BrandingError::Support), "{support}");
        }
    }
}
