//! The page of runs, or of a plan.

use lookalike_base::Watch;

use crate::album::{Album, NoPictures};
use crate::data::Data;
use crate::error::ReportError;
use crate::html::{count, name};
use crate::near::Near;
use crate::page::{Head, assembled, contrast, curves, geometry, map, neighbors, verdict};
use crate::run::Run;

/// What a page may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Bytes of all pictures together.
    pub picture_bytes: usize,
    /// Whether there is a map, which takes most of the time.
    pub map: bool,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { picture_bytes: 10_000_000, map: true }
    }
}

/// A page of `runs`, one file of HTML. `data` are the instances of the first of them, where they can be read; with no run it is a page of these
/// alone, as of the batches of another's training.
///
/// The progress of `watch` counts epochs of the map; the work ends soon after it asks it to stop. The same input gives the same bytes.
///
/// # Errors
/// [`ReportError::Input`] where there is neither run nor data, or the data do not fit together; whatever metrics and graphs report; and
/// [`ReportError::Cancelled`].
pub fn report(
    runs: &[Run],
    data: Option<&Data<'_>>,
    options: &ReportOptions,
    watch: Watch<'_>,
) -> Result<String, ReportError> {
    if runs.is_empty() && data.is_none() {
        return Err(ReportError::Input("there is nothing to show: give a run, or instances".to_owned()));
    }
    data.map_or(Ok(()), Data::check)?;
    let mut album = Album::new(data.map_or(&NoPictures, |data| data.pictures), options.picture_bytes);
    let silent = Watch { cancellation: watch.cancellation, ..Watch::default() };
    let mut sections: Vec<_> =
        [verdict::section(runs), curves::section(runs)].into_iter().flatten().collect();
    let mut drawn = None;
    if let Some(data) = data {
        sections.extend(geometry::section(data)?);
    }
    sections.extend(contrast::section(runs, data, &mut album, silent)?);
    if let Some(data) = data
        && let Some(near) = Near::of(data, silent)?
    {
        sections.push(neighbors::section(data, &near, &mut album));
        if options.map {
            let (section, mut told) = map::section(data, &near, watch)?;
            map::add_pictures(&mut told, &near, album.pictures());
            sections.push(section);
            drawn = Some(told);
        }
    }
    let lead = match (runs.first(), data) {
        (Some(run), _) => verdict::lead(run),
        (None, Some(data)) => {
            let instances: usize = data.parts.iter().map(|part| part.rows.len()).sum();
            format!(
                "{}, {} instances, {} batches",
                name(&data.name),
                count(instances as u64),
                count(data.plan.len() as u64)
            )
        }
        (None, None) => String::new(),
    };
    let head = Head { title: verdict::title(runs), lead };
    Ok(assembled(&head, &sections, &album, drawn.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::album::Pictures;
    use crate::album::tests::Colours;
    use crate::data::Part;
    use lookalike_base::{Rows, Seed};

    fn page(count: usize, classes: u32, pictures: &dyn Pictures) -> String {
        let mut stream = Seed(5).stream("test", 0, 0, 0);
        let values: Vec<f32> = (0..count * 4).map(|_| stream.normal()).collect();
        let labels: Vec<u32> = (0..count as u32).map(|row| row % classes.max(1)).collect();
        let plan: Vec<Vec<u32>> =
            (0..count as u32).collect::<Vec<u32>>().chunks(4).map(<[u32]>::to_vec).collect();
        let rows = Rows::new(&values, 4).unwrap();
        let data = Data {
            name: "</script><img src=x>".into(),
            parts: vec![Part { name: "train", rows, labels: if classes == 0 { &[] } else { &labels } }],
            classes: vec!["\u{202e}</title>".into()],
            plan: if count < 2 { &[] } else { &plan },
            compared: None,
            pairs: false,
            untrained: None,
            pictures,
        };
        report(&[], Some(&data), &ReportOptions::default(), Watch::default()).unwrap()
    }

    #[test]
    fn a_page_is_the_same_bytes_asks_for_nothing_and_holds_no_markup_from_outside() {
        let html = page(60, 3, &Colours);
        assert_eq!(html, page(60, 3, &Colours));
        for forbidden in ["http://", "https://", "<img src=x>", "\u{202e}"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert_eq!(html.matches("</script>").count(), 2);
        assert_eq!(html.matches("<h1>").count(), 1);
        assert!(html.contains("default-src 'none'") && html.contains("\"pictures\":{\""));
        for section in ["geometry", "contrast", "neighbors", "map"] {
            assert!(html.contains(&format!("<section id=\"{section}\"")), "{section}");
        }
    }

    #[test]
    fn one_instance_no_classes_and_more_classes_than_fit_have_a_page() {
        for (count, classes) in [(1, 1), (2, 0), (3, 3), (40, 0), (3000, 1500)] {
            let html = page(count, classes, &NoPictures);
            assert!(
                html.ends_with("</html>\n") && html.len() < 3_000_000,
                "{count} {classes} {}",
                html.len()
            );
        }
        assert!(report(&[], None, &ReportOptions::default(), Watch::default()).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let values = [1.0, 0.0, 0.0, 1.0];
        let part = |labels| Part { name: "train", rows: Rows::new(&values, 2).unwrap(), labels };
        let error = |data: Data<'_>| {
            report(&[], Some(&data), &ReportOptions::default(), Watch::default()).unwrap_err().to_string()
        };
        let data = |part, plan| Data {
            name: "d".into(),
            parts: vec![part],
            classes: Vec::new(),
            plan,
            compared: None,
            pairs: false,
            untrained: None,
            pictures: &NoPictures,
        };
        assert_eq!(error(data(part(&[1][..]), &[])), "train: 1 labels for 2 rows");
        let plan = [vec![0, 7]];
        assert_eq!(error(data(part(&[][..]), &plan)), "a batch holds instance 7, and train has 2");
    }
}
