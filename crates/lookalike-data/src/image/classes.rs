//! Which classes of a data set are taken: names, or a list of them. Three sets of classes share the name ImageNet-100, and a score on one
//! of them says nothing of another, so a list has a name that is told with every score.

use std::path::Path;

use lookalike_base::words::did_you_mean;

use crate::bounded::read_file;
use crate::error::DataError;

/// The lists that come with the crate.
pub const PUBLISHED: [&str; 2] = ["imagenet100-cmc", "imagenet100-ambityga"];

/// The classes of both, a line each.
const IMAGENET_100: &str = include_str!("imagenet100.txt");

/// Most bytes of a file of classes: those of the 21,841 of all ImageNet are a tenth of this.
const MOST_BYTES: u64 = 1 << 21;

/// The classes that are taken of a data set, and numbered in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassList {
    /// What the list is called where a score is told; `None` of names that stand in the recipe.
    pub name: Option<String>,
    /// The names of the classes.
    pub classes: Vec<String>,
}

impl ClassList {
    /// The published list of that name, or that of the file at the path `name`: a class a line, without spaces around it. Blank lines and
    /// those that begin with `#` are skipped. `key` is that of the recipe.
    ///
    /// # Errors
    /// [`DataError::Option`], about `key`, where there is neither; [`DataError::Io`] where the file cannot be read; [`DataError::Format`]
    /// where it is longer than 2 MiB or no UTF-8; [`DataError::Line`] where a class stands in it twice; [`DataError::TextFile`] where none
    /// does.
    pub fn named(name: &str, key: &str) -> Result<Self, DataError> {
        if PUBLISHED.contains(&name) {
            let of_list = |line: &'static str| line.split_once(' ').filter(|(list, _)| *list == name);
            let classes = IMAGENET_100.lines().filter_map(of_list).map(|(_, class)| class.to_owned());
            return Ok(Self { name: Some(name.to_owned()), classes: classes.collect() });
        }
        let path = Path::new(name);
        let file_name = path.file_name().map_or_else(|| name.into(), |name| name.to_string_lossy());
        if !path.is_file() {
            let what = if path.is_dir() { "is a folder" } else { "is no file that is there" };
            let problem = format!(
                "`{name}` {what}; give {} or {}, a file with a class a line, or a list of classes{}",
                PUBLISHED[0],
                PUBLISHED[1],
                did_you_mean(&file_name, PUBLISHED.into_iter())
            );
            return Err(DataError::Option { key: key.to_owned(), problem });
        }
        Ok(Self { name: Some(file_name.into_owned()), classes: read(path)? })
    }
}

/// The classes of a file.
fn read(path: &Path) -> Result<Vec<String>, DataError> {
    let bytes = read_file(path, MOST_BYTES)?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let problem = "it is no UTF-8, as a list of classes must be".to_owned();
        DataError::Format { path: path.into(), byte: error.valid_up_to() as u64, problem }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut classes: Vec<String> = Vec::new();
    let mut lines = std::collections::HashMap::new();
    for (line, class) in (1..).zip(text.lines().map(str::trim)) {
        if class.is_empty() || class.starts_with('#') {
            continue;
        }
        if let Some(first) = lines.insert(class, line) {
            let problem = format!("the class `{class}` stands in line {first} already; leave one out");
            return Err(DataError::Line { path: path.into(), line, problem });
        }
        classes.push(class.to_owned());
    }
    if classes.is_empty() {
        let problem = "it names no class; a list has one a line".to_owned();
        return Err(DataError::TextFile { path: path.into(), problem });
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KEY: &str = "data.classes";

    /// Identifiers are an n and eight digits; that the lists share eight was counted in the published files.
    #[test]
    fn the_published_lists_have_a_hundred_classes_each_and_share_eight() {
        let lists = PUBLISHED.map(|name| ClassList::named(name, KEY).unwrap());
        let sets = lists.each_ref().map(|list| list.classes.iter().collect::<BTreeSet<_>>());
        for (list, set) in lists.iter().zip(&sets) {
            assert_eq!((list.classes.len(), set.len()), (100, 100), "{:?}", list.name);
            let is_identifier = |class: &&String| {
                class.len() == 9
                    && class.starts_with('n')
                    && class[1..].bytes().all(|digit| digit.is_ascii_digit())
            };
            assert_eq!(set.iter().filter(|class| is_identifier(class)).count(), 100);
        }
        assert_eq!(sets[0].intersection(&sets[1]).count(), 8);
        assert_eq!(lists[0].classes[0], "n01558993");
        assert!(sets[1].iter().all(|class| ("n01440764"..="n02077923").contains(&class.as_str())));
    }

    #[test]
    fn a_file_is_read_line_by_line_and_called_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.txt");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            ClassList::named(path.to_str().unwrap(), KEY)
        };
        let list = read(b"\xef\xbb\xbf# birds\r\n\r\n n01558993 \r\nblue tit\n").unwrap();
        assert_eq!(list.name.as_deref(), Some("mine.txt"));
        assert_eq!(list.classes, ["n01558993", "blue tit"]);
        for (text, said) in [
            (&b"a\n# b\na\n"[..], "mine.txt, line 3: the class `a` stands in line 1 already"),
            (b"# nothing\n\n", "mine.txt: it names no class"),
            (b"a\nb\xff\n", "mine.txt, byte 3: it is no UTF-8"),
            (&vec![b'a'; MOST_BYTES as usize + 1], "longer than 2097152 bytes"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_neither_a_list_nor_a_file_is_refused_with_the_nearest_list() {
        let error = ClassList::named("imagenet100-cm", KEY).unwrap_err().to_string();
        assert!(error.starts_with("data.classes: `imagenet100-cm` is no file that is there"), "{error}");
        assert!(error.contains("did you mean `imagenet100-cmc`?"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = ClassList::named(folder.path().to_str().unwrap(), KEY).unwrap_err().to_string();
        assert!(error.contains("is a folder"), "{error}");
    }
}
