//! The classes of pixels, and what of a mask is which.

use std::collections::HashMap;
use std::path::Path;

use super::mask::NONE;
use crate::error::DataError;

/// Limit of the bytes of a list of classes.
const MAX_LIST: u64 = 1 << 20;

/// The classes of a set.
#[derive(Debug)]
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    pub(super) rule: Rule,
}

/// What of a mask is which class.
#[derive(Debug)]
pub(super) enum Rule {
    /// The value is the class.
    Values,
    /// What is not 0 is class 1.
    Above0,
    /// This value is class 1, and every other but 255 class 0.
    Only(u8),
    /// The colour tells.
    Colors(HashMap<[u8; 3], u8>),
}

impl Classes {
    /// Reads a list of classes.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let read = || -> std::io::Result<String> {
            if std::fs::metadata(path)?.len() > MAX_LIST {
                return Err(std::io::Error::other(format!("it is longer than {MAX_LIST} bytes, the limit")));
            }
            std::fs::read_to_string(path)
        };
        Self::parse(&read().map_err(DataError::io("read the names of the classes in", path))?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, DataError> {
        let wrong = |line: usize, problem: String| DataError::Line {
            path: path.to_owned(),
            line: line as u64,
            problem,
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut names, mut colors): (Vec<String>, HashMap<[u8; 3], u8>) = (Vec::new(), HashMap::new());
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            if names.len() == usize::from(NONE) {
                return Err(wrong(line, format!("there are more than {NONE} classes, the limit")));
            }
            let (color, name) = colored(text.trim());
            if name.is_empty() {
                return Err(wrong(line, "a colour, and no name of a class behind it".to_owned()));
            }
            if names.iter().any(|known| known == name) {
                return Err(wrong(line, format!("the class `{name}` is named twice")));
            }
            if let Some(color) = color
                && colors.insert(color, names.len() as u8).is_some()
            {
                return Err(wrong(line, format!("the colour of `{name}` is another class's too")));
            }
            names.push(name.to_owned());
            if !colors.is_empty() && colors.len() != names.len() {
                return Err(wrong(line, "either all classes have a colour, or none".to_owned()));
            }
        }
        if names.len() < 2 {
            return Err(wrong(1, "two classes at least must be named, one a line, class 0 first".to_owned()));
        }
        let rule = if colors.is_empty() { Rule::Values } else { Rule::Colors(colors) };
        Ok(Self { names, rule })
    }
}

/// The colour that a line begins with, where it does, and the rest.
fn colored(line: &str) -> (Option<[u8; 3]>, &str) {
    let (mut color, mut rest) = ([0; 3], line);
    for value in &mut color {
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match word.parse() {
            Ok(level) => (*value, rest) = (level, behind.trim_start()),
            Err(_) => return (None, line),
        }
    }
    (Some(color), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Classes, String> {
        Classes::parse(text, Path::new("classes.txt")).map_err(|error| error.to_string())
    }

    #[test]
    fn names_stand_alone_or_behind_colours() {
        let plain = parse("background\n\n  dining table \n8 ball\n").unwrap();
        assert_eq!(plain.names, ["background", "dining table", "8 ball"]);
        assert!(matches!(plain.rule, Rule::Values));
        let colored = parse("\u{feff}0 0 0 background\n128 64\t128  road\n").unwrap();
        assert_eq!(colored.names, ["background", "road"]);
        let Rule::Colors(colors) = colored.rule else { panic!("no colours") };
        assert_eq!((colors[&[0, 0, 0]], colors[&[128, 64, 128]]), (0, 1));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        for (text, problem) in [
            ("a\n", "line 1: two classes"),
            ("a\na\n", "line 2: the class `a` is named twice"),
            ("0 0 0 a\nb\n", "line 2: either all classes have a colour"),
            ("a\n0 0 0 b\n", "line 2: either all classes have a colour"),
            ("0 0 0 a\n0 0 0 b\n", "line 2: the colour of `b`"),
            ("0 0 0 a\n1 1 1\n", "line 2: a colour, and no name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
        let many: Vec<String> = (0..256).map(|class| format!("class {class}")).collect();
        assert!(parse(&many.join("\n")).unwrap_err().contains("line 256: there are more than 255"));
    }
}
