//! Logos: fetched once through the guard, decoded within bounds, re-encoded, and served from our own origin
//! (DOC-40 to DOC-43). Nothing of a stranger's image file reaches a browser.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageError, ImageFormat, ImageReader, Limits};
use moka::future::Cache;
use url::Url;

use super::copies::{Copies, Verdict, Want};
use super::document::DocumentDigest;
use super::freshness::{Freshness, FreshnessRules, Lifetime};
use crate::aws::{Aside, Shared, StoreError};
use crate::clock::Timestamp;
use crate::fetch::{FetchKind, FetchRequest, Fetched};

/// Widest and highest image that is decoded. A logo that is larger is no logo; the bound is checked on the
/// header, before memory is taken.
pub const LOGO_SIDE_MAX: u32 = 2048;

/// Most memory that decoding one image may take: an RGBA image of [`LOGO_SIDE_MAX`] squared, and working
/// room for its decoder.
const DECODE_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// Side of what we serve, in pixels: twice what the page shows, for screens that need it.
const SIDE: u32 = 96;

/// For how long a page waits for a logo. Without one it is shown all the same.
const LOGO_WAIT: Duration = Duration::from_secs(1);

/// For how long a process does not look for a logo again after there was none.
const NO_LOGO_PAUSE: Duration = Duration::from_secs(60);

/// For how long a re-encoded logo can be asked for by its digest: longer than any cache lifetime of the page
/// and the document that led to it.
const KEEP_LOGO: Duration = Duration::from_secs(90 * 86_400);

/// Logos whose digests one process keeps in memory.
const MEMORY_LOGOS_MAX: u64 = 500;

/// Why an image is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Not one of the four raster formats, whatever its media type says.
    #[error("the logo is no PNG, JPEG, GIF, or WebP image")]
    Format,
    /// Larger than [`LOGO_SIDE_MAX`], or more than decoding may take.
    #[error("the logo has too many pixels")]
    TooLarge,
    /// Broken.
    #[error("the logo cannot be decoded")]
    Broken,
}

/// Reads a raster image and makes a small PNG of its pixels, and of nothing else in it.
///
/// # Errors
/// [`LogoError`].
pub fn re_encode(bytes: &[u8]) -> Result<Vec<u8>, LogoError> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| LogoError::Broken)?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP) => {}
        Some(_) | None => return Err(LogoError::Format),
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(LOGO_SIDE_MAX);
    limits.max_image_height = Some(LOGO_SIDE_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => LogoError::TooLarge,
        _ => LogoError::Broken,
    })?;
    let mut png = Cursor::new(Vec::new());
    decoded
        .thumbnail(SIDE, SIDE)
        .into_rgba8()
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|_| LogoError::Broken)?;
    Ok(png.into_inner())
}

/// Finds logos.
#[derive(Clone, Debug)]
pub struct Logos {
    copies: Copies,
    memory: Cache<String, (Option<Arc<str>>, Timestamp)>,
}

impl Logos {
    /// Fetches through `copies`.
    pub fn new(copies: Copies) -> Self {
        Self { copies, memory: Cache::builder().max_capacity(MEMORY_LOGOS_MAX).build() }
    }

    /// The digest of the logo at `logo_uri`, by which [`Logos::png`] finds it; `None` if there is none, or
    /// none yet. A missing logo stops nothing.
    ///
    /// Call it only for a page that will show it (DOC-43).
    pub async fn digest(&self, logo_uri: &str) -> Option<Arc<str>> {
        let now = self.copies.clock.now();
        if let Some((digest, until)) = self.memory.get(logo_uri).await
            && now < until
        {
            return digest;
        }
        let request = FetchRequest { url: Url::parse(logo_uri).ok()?, kind: FetchKind::Logo };
        let looking = self.copies.get::<(), LogoError, _>(&request, Want::Fresh, judge);
        let (digest, until) = match tokio::time::timeout(LOGO_WAIT, looking).await {
            Ok(Ok(found)) => (Some(Arc::from(found.body.text)), found.body.fresh_until),
            Ok(Err(reason)) => {
                tracing::info!(logo_uri, %reason, "no logo");
                (None, now.plus(NO_LOGO_PAUSE))
            }
            // The fetch goes on by itself; the next page may find what it brings.
            Err(_) => return None,
        };
        self.memory.insert(logo_uri.to_owned(), (digest.clone(), until)).await;
        digest
    }

    /// The image with `digest`, which may be anybody's invention.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn png(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !DocumentDigest::is_well_formed(digest) {
            return Ok(None);
        }
        let found = self.copies.store.asides(&[id(digest)]).await?;
        let now = self.copies.clock.now();
        let aside = found.into_iter().find(|aside| now < aside.expires_at);
        Ok(aside.and_then(|aside| STANDARD.decode(aside.text).ok()))
    }
}

fn judge(fetched: &Fetched, _: &Shared<()>) -> Result<Verdict<()>, LogoError> {
    let png = re_encode(&fetched.body)?;
    let digest = DocumentDigest::of(&png).as_str().to_owned();
    let aside = Aside {
        id: id(&digest),
        text: STANDARD.encode(png),
        details: String::new(),
        expires_at: fetched.received_at.plus(KEEP_LOGO),
    };
    let rules = FreshnessRules::default();
    // Pixels are not worth a fetch per page, whatever their host says.
    let lifetime = match Freshness::of(fetched, &rules).lifetime {
        Lifetime::Reusable(lifetime) => lifetime.max(rules.default),
        Lifetime::OnlyThisFlow => rules.default,
    };
    Ok(Verdict { lifetime, stale_forbidden: true, ledger: None, text: Some(digest), aside: Some(aside) })
}

fn id(digest: &str) -> String {
    format!("png.{digest}")
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageEncoder as _, RgbaImage};

    use super::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let image = DynamicImage::ImageRgba8(RgbaImage::from_pixel(width, height, [1, 2, 3, 255].into()));
        let mut bytes = Cursor::new(Vec::new());
        if format == ImageFormat::Jpeg {
            image.into_rgb8().write_to(&mut bytes, format).unwrap();
        } else {
            image.write_to(&mut bytes, format).unwrap();
        }
        bytes.into_inner()
    }

    fn size(png: &[u8]) -> (u32, u32) {
        let decoded = image::load_from_memory_with_format(png, ImageFormat::Png).unwrap();
        (decoded.width(), decoded.height())
    }

    /// DOC-42: four raster formats in, a small PNG out.
    #[test]
    fn every_raster_format_becomes_a_small_png() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            let png = re_encode(&encoded(400, 200, format)).unwrap();
            assert_eq!(size(&png), (96, 48), "{format:?}");
        }
    }

    /// DOC-42: an animation gives its first frame.
    #[test]
    fn an_animation_gives_its_first_frame() {
        let mut bytes = Vec::new();
        {
            let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
            for shade in [10, 200] {
                let frame = RgbaImage::from_pixel(8, 8, [shade, shade, shade, 255].into());
                encoder.encode_frame(image::Frame::new(frame)).unwrap();
            }
        }
        let png = re_encode(&bytes).unwrap();
        let decoded = image::load_from_memory(&png).unwrap().into_rgba8();
        assert!(decoded.get_pixel(0, 0).0[0] < 50);
    }

    /// DOC-42: what is no raster image is refused, whatever it calls itself.
    #[test]
    fn what_is_no_raster_image_is_refused() {
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        assert_eq!(re_encode(svg), Err(LogoError::Format));
        assert_eq!(re_encode(b""), Err(LogoError::Format));
        assert_eq!(re_encode(b"BM not enabled here"), Err(LogoError::Format));
        let mut cut = encoded(100, 100, ImageFormat::Png);
        cut.truncate(40);
        assert_eq!(re_encode(&cut), Err(LogoError::Broken));
    }

    /// DOC-42: the size is read before memory is taken, so a small file cannot ask for a large image.
    #[test]
    fn an_image_of_too_many_pixels_is_refused_before_it_is_decoded() {
        assert_eq!(re_encode(&encoded(LOGO_SIDE_MAX + 1, 1, ImageFormat::Png)), Err(LogoError::TooLarge));
        // A header that promises 50 000 × 50 000 pixels and brings none.
        let mut bomb = Vec::new();
        let header = image::codecs::png::PngEncoder::new(&mut bomb);
        header.write_image(&[0; 4], 1, 1, image::ExtendedColorType::Rgba8).unwrap();
        let side = 50_000_u32.to_be_bytes();
        bomb[16..20].copy_from_slice(&side);
        bomb[20..24].copy_from_slice(&side);
        assert!(matches!(re_encode(&bomb), Err(LogoError::TooLarge | LogoError::Broken)));
    }

    /// DOC-42: what stands in an image file besides its pixels does not come through.
    #[test]
    fn nothing_but_pixels_comes_through() {
        let mut polyglot = encoded(4, 4, ImageFormat::Png);
        polyglot.extend_from_slice(b"<script>alert(1)</script>");
        let png = re_encode(&polyglot).unwrap();
        assert!(!png.windows(7).any(|window| window == b"<script"));
    }
}
