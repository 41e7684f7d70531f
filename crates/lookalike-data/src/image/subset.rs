//! A part of a data set as a data set of its own: what is cut off another, what is of some classes, or all of it in another order.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use lookalike_base::Seed;
use lookalike_base::words::did_you_mean;

use super::classes::ClassList;
use super::dataset::{Image, ImageDataset};
use crate::error::DataError;

/// The seed of the draw: it depends on nothing but the images, so that runs of all seeds are judged on the same.
const SEED: Seed = Seed(0);

/// Draws `share` of the images of each class, rounded, of a class of two or more at least one and never all; images without a class are
/// drawn as one class. Draws for different `purposes` have nothing to do with each other.
pub(super) fn draw(
    labels: impl Iterator<Item = Option<u32>>,
    classes: usize,
    share: f64,
    purpose: &str,
) -> Vec<bool> {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes + 1];
    let mut count = 0;
    for label in labels {
        members[label.map_or(classes, |label| label as usize)].push(count);
        count += 1;
    }
    let mut drawn = vec![false; count];
    for (class, mut members) in members.into_iter().enumerate() {
        SEED.stream(purpose, 0, 0, class as u64).shuffle(&mut members);
        let most = members.len().saturating_sub(1);
        let count = ((members.len() as f64 * share).round() as usize).clamp(most.min(1), most);
        members[..count].iter().for_each(|index| drawn[*index] = true);
    }
    drawn
}

/// Some of the images of a set, in their order.
pub struct Subset {
    set: Arc<dyn ImageDataset>,
    members: Vec<u32>,
    /// What stands behind the set's name.
    part: Cow<'static, str>,
    /// The list by which classes were chosen, where it has a name.
    list: Option<String>,
    left_out: Vec<u32>,
    /// Where classes are numbered otherwise: their names, and the new number of each of the set's.
    classes: Option<(Vec<String>, Vec<Option<u32>>)>,
}

/// Cuts `share` of the images of each class off `set`, of a class of two or more at least one and never all. Gives what is left, which keeps the name of the set, and what was cut
/// off, called `part`.
///
/// # Errors
/// [`DataError::Option`], about `key`, where the share does not lie between 0 and 1 or nothing is cut off.
pub fn cut(
    set: &Arc<dyn ImageDataset>,
    share: f64,
    (key, part): (&str, &'static str),
) -> Result<[Subset; 2], DataError> {
    let (left, cut) = divide(set, share, key, part)?;
    Ok([Subset::new(set, left, ""), Subset::new(set, cut, part)])
}

/// Only `share` of the images of each class, rounded, at least one and of a class of two or more never all: what learning from few labels
/// learns from.
///
/// # Errors
/// As [`cut`].
pub fn of_share(set: &Arc<dyn ImageDataset>, share: f64, key: &str) -> Result<Subset, DataError> {
    // What is cut off is never all of a class, and neither then is nothing kept.
    let (kept, _) = divide(set, 1.0 - share, key, "share")?;
    // A share of 0.07 is 7.000000000000001 in a hundred.
    let percent = format!("{:.6}", 100.0 * share);
    let percent = percent.trim_end_matches('0').trim_end_matches('.');
    Ok(Subset::new(set, kept, format!("{percent} % of each class")))
}

/// The images that stay, and those that are drawn.
fn divide(
    set: &Arc<dyn ImageDataset>,
    share: f64,
    key: &str,
    purpose: &str,
) -> Result<(Vec<u32>, Vec<u32>), DataError> {
    let refuse = |problem: &str| DataError::Option { key: key.to_owned(), problem: problem.to_owned() };
    if !(share > 0.0 && share < 1.0) {
        return Err(refuse("must lie above 0 and below 1"));
    }
    let labels = (0..set.len() as u32).map(|index| set.label(index));
    let drawn = draw(labels, set.classes().len(), share, purpose);
    let (cut, left): (Vec<u32>, Vec<u32>) = (0..set.len() as u32).partition(|index| drawn[*index as usize]);
    if cut.is_empty() {
        return Err(refuse("cuts nothing off: no class has two images"));
    }
    Ok((left, cut))
}

/// The images of the classes of `list`, which are numbered in its order from 0 on. The name of a list stands behind that of the set.
///
/// # Errors
/// [`DataError::Option`], about `key`, where a class of the list is none of the set's or has no image, or a name comes twice or there is
/// none.
pub fn of_classes(set: &Arc<dyn ImageDataset>, list: &ClassList, key: &str) -> Result<Subset, DataError> {
    let refuse = |problem: String| DataError::Option { key: key.to_owned(), problem };
    let names = &list.classes;
    if names.is_empty() {
        return Err(refuse("names no class; leave it out for all of them".to_owned()));
    }
    let of_set: HashMap<&str, usize> =
        set.classes().iter().map(String::as_str).enumerate().map(|(place, class)| (class, place)).collect();
    let mut numbers: Vec<Option<u32>> = vec![None; set.classes().len()];
    for (number, name) in (0..).zip(names) {
        let Some(place) = of_set.get(name.as_str()) else { continue };
        if numbers[*place].replace(number).is_some() {
            return Err(refuse(format!("names the class `{name}` twice")));
        }
    }
    let (mut members, mut has_images) = (Vec::new(), vec![false; names.len()]);
    for index in 0..set.len() as u32 {
        if let Some(class) = set.label(index).and_then(|label| numbers[label as usize]) {
            has_images[class as usize] = true;
            members.push(index);
        }
    }
    let missing: Vec<&str> =
        names.iter().zip(has_images).filter(|(_, there)| !there).map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        return Err(refuse(without(&**set, list, &missing)));
    }
    let classes = Some((names.clone(), numbers));
    Ok(Subset { classes, list: list.name.clone(), ..Subset::new(set, members, "") })
}

/// Says which classes of a list have no image in a set.
fn without(set: &dyn ImageDataset, list: &ClassList, missing: &[&str]) -> String {
    const NAMED: usize = 8;
    let (name, all) = (set.name(), list.classes.len());
    let named = |classes: &[&str]| {
        let more = classes.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", classes[..classes.len().min(NAMED)].join(", "))
    };
    let own: Vec<&str> = set.classes().iter().map(String::as_str).collect();
    if own.is_empty() {
        return format!(
            "takes classes, and the images of {name} have none: a class is a sub-folder, or a column of a list"
        );
    }
    let of_list = list.name.as_ref().map_or_else(String::new, |list| format!(" of {list}"));
    if missing.len() == all && all > 1 {
        return format!(
            "none of the {all} classes{of_list} has an image in {name}, whose classes are {}",
            named(&own)
        );
    }
    if let [class] = missing {
        let (no, hint) = if own.contains(class) {
            ("no image of the class", String::new())
        } else {
            ("no class", did_you_mean(class, own.iter().copied()))
        };
        return format!("{name} has {no} `{class}`{hint}");
    }
    let missing_of = missing.len();
    format!("{name} has no image of {missing_of} of the {all} classes{of_list}: {}", named(missing))
}

/// All images, those without a label first, and how many these are.
pub fn unlabelled_first(set: &Arc<dyn ImageDataset>) -> (Subset, usize) {
    let (labelled, mut members): (Vec<u32>, Vec<u32>) =
        (0..set.len() as u32).partition(|index| set.label(*index).is_some());
    let unlabelled = members.len();
    members.extend(labelled);
    (Subset::new(set, members, "unlabelled first"), unlabelled)
}

impl Subset {
    fn new(set: &Arc<dyn ImageDataset>, members: Vec<u32>, part: impl Into<Cow<'static, str>>) -> Self {
        let is_out = |member: &u32| set.left_out().binary_search(member).is_ok();
        let places = (0..).zip(&members).filter(|(_, member)| is_out(member));
        let left_out = places.map(|(place, _)| place).collect();
        Self { set: set.clone(), members, part: part.into(), list: None, left_out, classes: None }
    }

    fn member(&self, index: u32) -> Option<u32> {
        self.members.get(index as usize).copied()
    }
}

impl ImageDataset for Subset {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn image(&self, index: u32) -> Result<Image<'_>, DataError> {
        let missing = || DataError::Index { dataset: self.name(), index, len: self.len() };
        self.set.image(self.member(index).ok_or_else(missing)?)
    }

    fn label(&self, index: u32) -> Option<u32> {
        let label = self.set.label(self.member(index)?)?;
        self.classes.as_ref().map_or(Some(label), |(_, numbers)| numbers[label as usize])
    }

    fn classes(&self) -> &[String] {
        self.classes.as_ref().map_or(self.set.classes(), |(names, _)| names)
    }

    fn left_out(&self) -> &[u32] {
        &self.left_out
    }

    /// Of what is cut off a set nothing is known of another part; of some classes both are what they are of all.
    fn serves_both(&self) -> bool {
        self.classes.is_some() && self.set.serves_both()
    }

    fn instance_name(&self, index: u32) -> Option<String> {
        self.set.instance_name(self.member(index)?)
    }

    fn name(&self) -> String {
        let mut name = self.set.name();
        if let Some(list) = &self.list {
            name = format!("{name} ({list})");
        }
        if self.part.is_empty() { name } else { format!("{name}, {}", self.part) }
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let of =
            self.classes.as_ref().map_or_else(String::new, |(names, _)| format!(" of {}", names.join(", ")));
        Ok(format!("{}, {} of them{of}", self.set.fingerprint()?, self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::memory::{InMemory, PixelFormat};

    const KEY: (&str, &str) = ("data.development", "development");

    /// Images of one pixel, each of its own grey.
    fn set(labels: &[u8]) -> Arc<dyn ImageDataset> {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let pixels = (0..labels.len() as u8).collect();
        Arc::new(InMemory::new("set".to_owned(), (1, 1), PixelFormat::Gray, pixels, labels.to_vec(), classes))
    }

    #[test]
    fn each_class_gives_its_share_and_keeps_one() {
        let labels: Vec<u8> = (0..50).map(|index| u8::from(index >= 40) + u8::from(index == 49)).collect();
        let [left, cut] = cut(&set(&labels), 0.1, KEY).unwrap();
        let count =
            |part: &Subset, class| (0..part.len() as u32).filter(|i| part.label(*i) == Some(class)).count();
        assert_eq!([0, 1, 2].map(|class| count(&cut, class)), [4, 1, 0]);
        assert_eq!([0, 1, 2].map(|class| count(&left, class)), [36, 8, 1]);
        let mut all = [left.members.clone(), cut.members.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<u32>>());
        for (index, member) in (0..).zip(&cut.members) {
            assert_eq!(cut.image(index).unwrap().pixels[0], *member as u8);
        }
        assert_eq!((left.name(), cut.name()), ("set".to_owned(), "set, development".to_owned()));
        assert_ne!(left.fingerprint().unwrap(), set(&labels).fingerprint().unwrap());
    }

    #[test]
    fn a_share_keeps_so_many_of_each_class_always_the_same() {
        let labels: Vec<u8> = (0..200).map(|index| u8::from(index >= 150)).collect();
        let kept = of_share(&set(&labels), 0.08, "data.share").unwrap();
        let count = |class| (0..kept.len() as u32).filter(|index| kept.label(*index) == Some(class)).count();
        assert_eq!([0, 1].map(count), [12, 4]);
        let few = of_share(&set(&[0, 0, 0, 1]), 0.01, "data.share").unwrap();
        assert_eq!((few.len(), few.label(0), few.label(1)), (2, Some(0), Some(1)));
        assert_eq!(kept.members, of_share(&set(&labels), 0.08, "data.share").unwrap().members);
        assert_eq!(kept.name(), "set, 8 % of each class");
        let error = of_share(&set(&labels), 1.5, "data.share").err().unwrap().to_string();
        assert!(error.contains("data.share"), "{error}");
    }

    #[test]
    fn some_classes_are_numbered_as_they_are_named() {
        let named = |names: &[&str]| of_classes(&set(&[0, 1, 2, 2, 1]), &list(None, names), "data.classes");
        let chosen = named(&["c", "a"]).unwrap();
        let labels: Vec<Option<u32>> = (0..4).map(|index| chosen.label(index)).collect();
        assert_eq!(labels, [Some(1), Some(0), Some(0), None]);
        assert_eq!(chosen.classes(), ["c", "a"]);
        assert_eq!(chosen.image(2).unwrap().pixels[0], 3);
        assert_ne!(chosen.fingerprint().unwrap(), named(&["a", "c"]).unwrap().fingerprint().unwrap());
        for (names, problem) in
            [(&["d"][..], "no class `d`"), (&["a", "a"], "`a` twice"), (&[], "names no class")]
        {
            let error = named(names).err().unwrap().to_string();
            assert!(error.contains("data.classes") && error.contains(problem), "{error}");
        }
    }

    fn list(name: Option<&str>, classes: &[&str]) -> ClassList {
        let classes = classes.iter().map(|class| (*class).to_owned()).collect();
        ClassList { name: name.map(str::to_owned), classes }
    }

    #[test]
    fn a_list_is_told_with_the_set_and_what_it_misses_is_counted_and_named() {
        // Nothing is of the class `c`.
        let set = set(&[0, 1, 1]);
        let taken = |classes: &[&str]| of_classes(&set, &list(Some("mine"), classes), "data.classes");
        assert_eq!(taken(&["b", "a"]).unwrap().name(), "set (mine)");
        let many: Vec<String> = (0..12).map(|class| format!("n{class:08}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (classes, said) in [
            (&many[..], "none of the 12 classes of mine has an image in set, whose classes are a, b, c"),
            (&["c"], "set has no image of the class `c`"),
            (&["a", "x", "c"], "set has no image of 2 of the 3 classes of mine: x, c"),
            (&[&["a"], &many[..]].concat(), "n00000007 and 4 more"),
        ] {
            let error = taken(classes).err().unwrap().to_string();
            assert!(error.contains(said) && error.starts_with("data.classes: "), "{error}");
        }
    }

    #[test]
    fn a_share_that_cuts_nothing_or_all_is_refused_by_its_key() {
        for share in [0.0, 1.0, -0.1, f64::NAN] {
            let error = cut(&set(&[0, 0, 1, 1]), share, KEY).err().unwrap().to_string();
            assert!(error.contains("data.development") && error.contains("above 0 and below 1"), "{error}");
        }
        assert!(cut(&set(&[0, 1, 2]), 0.5, KEY).err().unwrap().to_string().contains("cuts nothing off"));
    }
}
