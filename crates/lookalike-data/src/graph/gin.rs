//! The text format of the code of the GIN paper (Xu et al. 2019, *How Powerful are Graph Neural Networks?*,
//! <https://arxiv.org/abs/1810.00826>), in which COLLAB and the REDDIT sets are often kept: the number of
//! graphs; for each graph a line `nodes label`, and for each of its nodes a line
//! `tag degree neighbours… attributes…`, nodes numbered from 0 within the graph.

use super::builder::{LabelColumns, ParsedGraphs};
use super::files::GraphFiles;
use super::line_reader::{LineReader, shortened, whole};
use crate::error::DataError;
use lookalike_base::Matrix;

/// What the file says. Tags become labels of nodes where there is more than one.
pub(super) fn read(files: &GraphFiles) -> Result<ParsedGraphs, DataError> {
    files.required(".txt", |lines| Reader::default().read(lines, files.name()))
}

#[derive(Default)]
struct Reader {
    sizes: Vec<usize>,
    labels: Vec<i64>,
    edges: Vec<(u32, u32)>,
    tags: Vec<i64>,
    attributes: Vec<f32>,
    /// Attributes of a node, once one was read.
    columns: Option<usize>,
}

impl Reader {
    fn read(mut self, lines: &mut LineReader<'_>, name: &str) -> Result<ParsedGraphs, DataError> {
        let Some(graphs) = lines.number_on_next::<u32>("the number of graphs")? else {
            return Err(lines.wrong("the file is empty"));
        };
        if graphs == 0 {
            return Err(lines.wrong("the file declares 0 graphs; expected at least one"));
        }
        for graph in 0..graphs {
            self.graph(lines, graph, graphs)?;
        }
        if lines.next()?.is_some() {
            return Err(lines.wrong(format!("the file goes on after the {graphs} graphs it declares")));
        }
        let columns = self.columns.unwrap_or(0);
        let attributes = (columns > 0).then(|| Matrix::new(self.attributes, columns));
        let attributes = attributes.transpose().map_err(|error| lines.wrong(error.to_string()))?;
        let several = self.tags.iter().any(|tag| *tag != self.tags[0]);
        Ok(ParsedGraphs {
            name: name.to_owned(),
            sizes: self.sizes,
            edges: self.edges,
            labels: Some(self.labels),
            node_labels: several.then_some(LabelColumns { values: self.tags, columns: 1 }),
            attributes,
            unread: Vec::new(),
        })
    }

    fn graph(&mut self, lines: &mut LineReader<'_>, graph: u32, graphs: u32) -> Result<(), DataError> {
        let Some(line) = lines.next()? else {
            return Err(lines.wrong(format!("the file ends after {graph} of {graphs} graphs")));
        };
        let header: Vec<Option<i64>> = line.split_whitespace().map(whole).collect();
        let [Some(nodes), Some(label)] = header[..] else {
            return Err(
                lines.wrong("a graph must begin with two integers, its number of nodes and its label")
            );
        };
        if nodes < 0 {
            return Err(lines.wrong(format!("graph {graph} has {nodes} nodes; expected 0 or more")));
        }
        let first = self.tags.len();
        let number = usize::try_from(nodes).ok().filter(|nodes| u32::try_from(first + nodes).is_ok());
        let Some(number) = number else {
            return Err(lines.wrong(format!("{nodes} more nodes exceed the limit of 4294967295")));
        };
        for node in 0..number {
            self.node(lines, first, node, number)?;
        }
        self.sizes.push(number);
        self.labels.push(label);
        Ok(())
    }

    fn node(
        &mut self,
        lines: &mut LineReader<'_>,
        first: usize,
        node: usize,
        nodes: usize,
    ) -> Result<(), DataError> {
        let Some(line) = lines.next()? else {
            return Err(lines.wrong(format!("the file ends after {node} of {nodes} nodes of its last graph")));
        };
        let problem = match self.fields(line, first, node, nodes) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        Err(lines.wrong(problem))
    }

    fn fields(&mut self, line: &str, first: usize, node: usize, nodes: usize) -> Result<(), String> {
        let mut fields = line.split_whitespace();
        let mut integer = |what| {
            let field = fields.next().ok_or_else(|| format!("expected {what}, found the end of the line"))?;
            whole(field).ok_or_else(|| format!("expected {what}, found {:?}", shortened(field)))
        };
        self.tags.push(integer("the tag of a node")?);
        let degree = integer("the number of neighbours")?;
        if degree < 0 {
            return Err(format!("node {node} has {degree} neighbours; expected 0 or more"));
        }
        for _ in 0..degree {
            let neighbor = integer("a neighbour")?;
            if !(0..nodes as i64).contains(&neighbor) {
                return Err(format!(
                    "node {neighbor} does not exist; the graph has nodes 0 to {}",
                    nodes - 1
                ));
            }
            self.edges.push(((first + node) as u32, (first as i64 + neighbor) as u32));
        }
        let before = self.attributes.len();
        for field in fields {
            let value = field.parse::<f32>().ok().filter(|value| value.is_finite());
            let wrong = || format!("expected a finite attribute, found {:?}", shortened(field));
            self.attributes.push(value.ok_or_else(wrong)?);
        }
        let (found, expected) = (self.attributes.len() - before, self.columns);
        if let Some(columns) = expected.filter(|columns| *columns != found) {
            return Err(format!("{found} attributes, but the first node has {columns}"));
        }
        self.columns = Some(found);
        Ok(())
    }
}
