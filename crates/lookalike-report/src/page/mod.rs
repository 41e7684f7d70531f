//! A page: one file, with its style, its script and its pictures in it, that asks the network for nothing.

pub(crate) mod contrast;
pub(crate) mod curves;
pub(crate) mod geometry;
pub(crate) mod map;
pub(crate) mod neighbors;
pub(crate) mod verdict;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::album::Album;
use crate::html::{bytes, escaped, json};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A part of a page under a heading.
pub(crate) struct Section {
    /// By which it is linked to.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) html: String,
}

/// What stands above the sections.
pub(crate) struct Head {
    pub(crate) title: String,
    /// A sentence below it, HTML.
    pub(crate) lead: String,
}

/// The whole page; `map` is what its map is drawn from.
pub(crate) fn assembled(
    head: &Head,
    sections: &[Section],
    album: &Album<'_>,
    map: Option<&serde_json::Value>,
) -> String {
    let mut links = String::new();
    for section in sections {
        let _ = write!(links, "<li><a href=\"#{}\">{}</a></li>", section.id, escaped(section.title));
    }
    let title = escaped(&head.title);
    let script = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src \
         'sha256-{script}'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{STYLE}</style>\n<style>{}</style>\
         </head>\n<body><a class=\"skip\" href=\"#content\">to the content</a><header><h1><bdi>{title}</bdi></h1><p>{}</p>\
         <nav aria-label=\"Sections\"><ul>{links}</ul></nav></header>\n<main id=\"content\">",
        album.css(),
        head.lead
    );
    for section in sections {
        let _ = write!(
            html,
            "\n<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>{2}</section>",
            section.id,
            escaped(section.title),
            section.html
        );
    }
    html.push_str("\n</main>");
    if let Some(map) = map {
        let _ = write!(html, "<script type=\"application/json\" id=\"map-data\">{}</script>", json(map));
    }
    let pictures = album.told().map_or_else(String::new, |told| format!("{told}. "));
    let size = html.len() + SCRIPT.len() + 300;
    let _ = write!(
        html,
        "\n<footer><p>{pictures}The page has {} and asks the network for nothing. Made by Lookalike {}.</p></footer>\n<script>{SCRIPT}</script>\
         </body></html>\n",
        bytes(size),
        env!("CARGO_PKG_VERSION")
    );
    html
}

/// A row of pictures under a line that says what it is, both HTML.
pub(crate) fn row(about: &str, shots: &[String]) -> String {
    format!("<div class=\"look\"><p>{about}</p><div class=\"row\">{}</div></div>", shots.concat())
}
