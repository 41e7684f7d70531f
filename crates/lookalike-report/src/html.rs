//! Text that is safe in a page, and numbers as people read them.

use std::fmt::Write;

/// The text with all that has a meaning in HTML written out. What would turn the direction of the text around it is left out.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if turns(letter) => {}
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Whether a letter turns the direction of the text around it.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name from outside: its direction is its own.
pub(crate) fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(&shortened(text, 120)))
}

/// The text, or as much of it as `most` letters hold.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// JSON that may stand in a script element: nothing in it ends the element, or turns the direction of text.
pub(crate) fn json(value: &serde_json::Value) -> String {
    let text = value
        .to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    text.chars().filter(|letter| !turns(*letter)).collect()
}

/// A number of about four digits.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let text = if size == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e7).contains(&size) {
        format!("{value:.2e}")
    } else {
        let digits = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
        let fixed = format!("{value:.digits$}");
        if fixed.contains('.') { fixed.trim_end_matches('0').trim_end_matches('.').to_owned() } else { fixed }
    };
    text.replace('-', "−")
}

/// A share as per cent with one digit behind the point.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", 100.0 * share).replace('-', "−") } else { "–".to_owned() }
}

/// A count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in its two greatest units.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86400, whole % 86400 / 3600),
    }
}

/// Bytes as people read them.
pub(crate) fn bytes(size: usize) -> String {
    if size < 1_000_000 {
        format!("{} kB", size.div_ceil(1000))
    } else {
        format!("{:.1} MB", size as f64 / 1e6)
    }
}

/// A table whose first row is its head; cells are HTML.
pub(crate) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"wide\" tabindex=\"0\" role=\"group\"");
    let _ = write!(
        html,
        " aria-label=\"{}\"><table><caption>{}</caption><thead><tr>",
        escaped(caption),
        escaped(caption)
    );
    for cell in head {
        let _ = write!(html, "<th scope=\"col\">{cell}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let _ = if place == 0 {
                write!(html, "<th scope=\"row\">{cell}</th>")
            } else {
                write!(html, "<td>{cell}</td>")
            };
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(escaped("</script>\"'&"), "&lt;/script&gt;&quot;&#39;&amp;");
        assert_eq!(escaped("a\u{202e}b\nc"), "ab c");
        assert_eq!(json(&serde_json::json!("</script>")), "\"\\u003c/script>\"");
        assert_eq!(name(&"x".repeat(500)).chars().count(), 120 + "<bdi></bdi>".len());
    }

    #[test]
    fn numbers_have_about_four_digits() {
        let shown = [0.0, 1.0, -0.12345, 1234.56, 123_456.0, 1e9, 1e-7, f64::NAN].map(number);
        assert_eq!(shown, ["0", "1", "−0.1235", "1235", "123456", "1.00e9", "1.00e−7", "–"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([9.4, 61.0, 7260.0, 90_000.0].map(duration), ["9 s", "1 min 1 s", "2 h 1 min", "1 d 1 h"]);
        assert_eq!(percent(0.0523), "5.2 %");
    }
}
