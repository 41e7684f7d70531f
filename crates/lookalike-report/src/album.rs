//! Pictures of instances: each is in the page once, however often it is shown, and all of them together are bounded.

use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use lookalike_data::Shown;

use crate::drawing;
use crate::html::{escaped, name, shortened};

/// Longest side of a picture, in pixels.
pub(crate) const MOST_SIDE: u32 = 96;
/// Quality of a picture, of 100.
const QUALITY: u8 = 85;
/// Letters of a text that are shown.
const MOST_LETTERS: usize = 240;

/// An instance: the number of its part, and its own within it.
pub type Instance = (usize, u32);

/// Where instances can be looked at.
pub trait Pictures {
    /// What an instance of a part looks like; `None` where it cannot be shown.
    fn shown(&self, part: usize, instance: u32) -> Option<Shown>;

    /// What it is called; `None` where it has no name.
    fn name(&self, part: usize, instance: u32) -> Option<String>;
}

/// What is known of nothing but numbers.
pub struct NoPictures;

impl Pictures for NoPictures {
    fn shown(&self, _: usize, _: u32) -> Option<Shown> {
        None
    }

    fn name(&self, _: usize, _: u32) -> Option<String> {
        None
    }
}

/// The pictures of a page.
pub(crate) struct Album<'a> {
    source: &'a dyn Pictures,
    /// Bytes that pictures may take together.
    most: usize,
    known: HashMap<Instance, Option<String>>,
    css: String,
    /// Whose pictures there are, by their numbers.
    pictures: Vec<Instance>,
    left_out: usize,
}

impl<'a> Album<'a> {
    pub(crate) fn new(source: &'a dyn Pictures, most: usize) -> Self {
        Self { source, most, known: HashMap::new(), css: String::new(), pictures: Vec::new(), left_out: 0 }
    }

    /// What an instance is called.
    pub(crate) fn name(&self, (part, instance): Instance) -> String {
        self.source.name(part, instance).unwrap_or_else(|| format!("instance {instance}"))
    }

    /// An instance with what is to be said of it. `caption` is HTML; `class` may frame it.
    pub(crate) fn figure(&mut self, instance: Instance, caption: &str, class: &str) -> String {
        let called = self.name(instance);
        let seen = self.seen(instance, &called);
        format!(
            "<figure class=\"shot {class}\">{seen}<figcaption>{caption}<span class=\"called\">{}</span></figcaption></figure>",
            name(&shortened(&called, 40))
        )
    }

    fn seen(&mut self, instance: Instance, called: &str) -> String {
        if let Some(known) = self.known.get(&instance) {
            return known.clone().unwrap_or_default();
        }
        let made = self.make(instance, called);
        self.known.insert(instance, made.clone());
        made.unwrap_or_default()
    }

    fn make(&mut self, (part, instance): Instance, called: &str) -> Option<String> {
        let html = match self.source.shown(part, instance)? {
            Shown::Image { width, height, pixels } => {
                let (data, [width, height]) = encoded(width, height, pixels)?;
                if self.css.len() + data.len() > self.most {
                    self.left_out += 1;
                    return Some(String::from(
                        "<span class=\"none\">left out: the page is large enough</span>",
                    ));
                }
                let number = self.pictures.len();
                self.pictures.push((part, instance));
                // Small pictures are shown larger.
                let scale = (64 / width.max(height).max(1)).max(1);
                let _ = writeln!(
                    self.css,
                    ".i{number}{{width:{}px;height:{}px;background-image:url(data:image/jpeg;base64,{data})}}",
                    width * scale,
                    height * scale
                );
                format!(
                    "<span class=\"i i{number}\" role=\"img\" aria-label=\"{}\"></span>",
                    escaped(&shortened(called, 80))
                )
            }
            Shown::Texts(texts) => {
                let mut html = String::from("<span class=\"texts\">");
                for text in texts {
                    let _ = write!(
                        html,
                        "<q dir=\"auto\">{}</q>",
                        escaped(&shortened(text.trim(), MOST_LETTERS))
                    );
                }
                html + "</span>"
            }
            Shown::Graph { nodes, edges, labels } => drawing::graph(nodes, &edges, &labels, called),
        };
        Some(html)
    }

    /// The style sheet that holds the pictures.
    pub(crate) fn css(&self) -> &str {
        &self.css
    }

    /// Whose pictures there are; one is `.i` and its place in this list.
    pub(crate) fn pictures(&self) -> &[Instance] {
        &self.pictures
    }

    /// How many there are, how large they are, and how many are not there for that.
    pub(crate) fn told(&self) -> Option<String> {
        if self.pictures.len() + self.left_out == 0 {
            return None;
        }
        let mut told = format!("{} pictures, {}", self.pictures.len(), crate::html::bytes(self.css.len()));
        if self.left_out > 0 {
            let _ = write!(
                told,
                "; {} more were left out, for pictures may take {}",
                self.left_out,
                crate::html::bytes(self.most)
            );
        }
        Some(told)
    }
}

/// The picture as JPEG in letters, no longer than [`MOST_SIDE`], and its size.
fn encoded(width: u32, height: u32, pixels: Vec<u8>) -> Option<(String, [u32; 2])> {
    let image = reduced(width, height, pixels, MOST_SIDE)?;
    Some((STANDARD.encode(jpeg(&image)?), [image.width(), image.height()]))
}

/// A picture no longer than `most`; `None` where it has no pixels, or other than these.
pub(crate) fn reduced(width: u32, height: u32, pixels: Vec<u8>, most: u32) -> Option<RgbImage> {
    let image =
        RgbImage::from_raw(width, height, pixels).filter(|image| image.width() > 0 && image.height() > 0)?;
    let longest = image.width().max(image.height());
    if longest <= most {
        return Some(image);
    }
    let side = |length: u32| (u64::from(length) * u64::from(most) / u64::from(longest)).max(1) as u32;
    Some(resize(&image, side(image.width()), side(image.height()), FilterType::Triangle))
}

/// The file of a picture.
pub(crate) fn jpeg(image: &RgbImage) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, QUALITY);
    encoder.write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8).ok()?;
    Some(file)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Pictures of one colour each, under names from outside.
    pub(crate) struct Colours;

    impl Pictures for Colours {
        fn shown(&self, _: usize, instance: u32) -> Option<Shown> {
            let pixels = [instance as u8, 128, 7].repeat(200 * 100);
            Some(Shown::Image { width: 200, height: 100, pixels })
        }

        fn name(&self, _: usize, instance: u32) -> Option<String> {
            (instance == 0).then(|| "</script><b>".to_owned())
        }
    }

    #[test]
    fn each_picture_is_there_once_reduced_and_under_a_safe_name() {
        let mut album = Album::new(&Colours, 1 << 20);
        let first = album.figure((0, 0), "anchor", "");
        assert!(first.contains("&lt;/script&gt;&lt;b&gt;") && !first.contains("<b>"), "{first}");
        assert_eq!(album.figure((0, 0), "anchor", ""), first);
        album.figure((0, 1), "member", "");
        assert_eq!(album.css().matches("data:image/jpeg").count(), 2);
        assert!(album.css().contains("width:96px;height:48px"), "{}", album.css());
        assert!(album.told().unwrap().starts_with("2 pictures, "));
    }

    #[test]
    fn beyond_the_bound_pictures_are_left_out_and_counted() {
        let mut album = Album::new(&Colours, 1000);
        for instance in 0..5 {
            album.figure((0, instance), "", "");
        }
        assert!(album.css().len() <= 1000);
        assert!(album.told().unwrap().contains("more were left out"));
    }

    #[test]
    fn pixels_that_are_no_picture_are_not_shown() {
        assert!(encoded(3, 3, vec![0; 5]).is_none() && encoded(0, 0, Vec::new()).is_none());
        assert_eq!(encoded(1000, 1, vec![9; 3000]).unwrap().1, [96, 1]);
    }
}
