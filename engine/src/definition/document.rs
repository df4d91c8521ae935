//! A document tree with positions, from YAML 1.2 or JSON text. Every guard against hostile text is here, so that whatever
//! walks the tree may recurse.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ecow::EcoString;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, StrInput, Tag};

use super::diagnostic::{Diagnostic, Related, Severity};
use super::scalar::{self, Plain};
use super::source::{Source, Span};
pub(crate) use super::tree::{Entry, Kind, Node, Style, escape, pointer_at};

/// What a text may cost. What exceeds a limit is refused with an error that names it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of the text.
    pub bytes_max: usize,
    /// Lists and maps within each other.
    pub depth_max: usize,
    /// Values in the tree, aliases expanded.
    pub nodes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes_max: 1 << 20, depth_max: 128, nodes_max: 100_000 }
    }
}

/// The text as the reader takes it: without a byte order mark; and JSON, where YAML differs, made YAML.
pub(crate) fn prepare(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with(['{', '[']) || !text.contains(['\t', '\\']) {
        return Cow::Borrowed(text);
    }
    // JSON indents with tabs where YAML may not, and has them nowhere else.
    let spaces = text.replace('\t', " ");
    Cow::Owned(join_surrogates(&spaces))
}

/// JSON writes characters beyond 16 bits as two escapes, YAML as one long one.
fn join_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let code = |t: &str| t.strip_prefix("\\u").and_then(|t| t.get(..4)).and_then(|t| u32::from_str_radix(t, 16).ok());
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let high = code(rest).filter(|c| (0xD800..0xDC00).contains(c));
        let low = high.and_then(|_| code(&rest[6..])).filter(|c| (0xDC00..0xE000).contains(c));
        if let (Some(high), Some(low)) = (high, low) {
            let point = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            out.push_str(&format!("\\U{point:08X}"));
            rest = &rest[12..];
            continue;
        }
        let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out + rest
}

/// The text is no UTF-8 after `good`.
pub(crate) fn not_utf8(good: &str) -> Box<Diagnostic> {
    let source = Source::new(good);
    let end = Span::new(good.len(), good.len());
    finding(&source, "TRN0112", "not UTF-8 from here on".into(), end, Some("save the file in UTF-8"))
}

/// Reads one document.
pub(crate) fn parse(source: &Source<'_>, limits: Limits) -> Result<Node, Box<Diagnostic>> {
    let text = source.text;
    if text.len() > limits.bytes_max {
        let message = format!("the text has {} bytes, more than the {} allowed", text.len(), limits.bytes_max);
        return Err(finding(source, "TRN0102", message, Span::new(0, 0), None));
    }
    let mut builder = Builder::new(source, limits);
    let mut parser = Parser::new_from_str(text);
    loop {
        match next(&mut parser) {
            None => break,
            Some(Ok((event, marks))) => builder.event(event, marks)?,
            Some(Err(problem)) => return Err(builder.syntax_error(&problem)),
        }
    }
    builder.root.ok_or_else(|| {
        finding(
            source,
            "TRN0111",
            "the document is empty".into(),
            Span::new(0, 0),
            Some("a definition is a map with `document` and `do`"),
        )
    })
}

fn next<'i>(parser: &mut Parser<'i, StrInput<'i>>) -> Option<Result<(Event<'i>, Marks), saphyr_parser::ScanError>> {
    parser.next_event()
}

fn finding(
    source: &Source<'_>,
    code: &'static str,
    message: String,
    span: Span,
    hint: Option<&str>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic {
        severity: Severity::Error,
        code,
        message,
        place: source.place(span),
        span,
        pointer: String::new(),
        hint: hint.map(str::to_owned),
        related: Vec::new(),
    })
}

/// An unfinished list or map.
struct Open {
    node: Node,
    /// Its anchor, 0 if none, and the number of nodes before it.
    anchor: usize,
    nodes_before: usize,
    /// In a map: the key whose value comes next.
    key: Option<(EcoString, Span)>,
    /// In a map: all keys so far.
    keys: BTreeMap<EcoString, Span>,
}

struct Builder<'s> {
    source: &'s Source<'s>,
    limits: Limits,
    /// Byte offset of each character; empty when all are ASCII.
    offsets: Vec<u32>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    /// Anchored values with their number of nodes.
    anchors: BTreeMap<usize, (Node, usize)>,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source<'s>, limits: Limits) -> Builder<'s> {
        let offsets = if source.text.is_ascii() {
            Vec::new()
        } else {
            source.text.char_indices().map(|(i, _)| u32::try_from(i).unwrap_or(u32::MAX)).collect()
        };
        Builder {
            source,
            limits,
            offsets,
            open: Vec::new(),
            root: None,
            documents: 0,
            nodes: 0,
            anchors: BTreeMap::new(),
        }
    }

    fn byte(&self, index: usize) -> usize {
        if self.offsets.is_empty() {
            return index.min(self.source.text.len());
        }
        self.offsets.get(index).map_or(self.source.text.len(), |o| *o as usize)
    }

    fn span(&self, marks: &Marks) -> Span {
        Span::new(self.byte(marks.start.index()), self.byte(marks.end.index()))
    }

    fn fail<T>(
        &self,
        code: &'static str,
        message: String,
        span: Span,
        hint: Option<&str>,
    ) -> Result<T, Box<Diagnostic>> {
        Err(finding(self.source, code, message, span, hint))
    }

    fn event(&mut self, event: Event<'_>, marks: Marks) -> Result<(), Box<Diagnostic>> {
        let span = self.span(&marks);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let hint = "write each definition in a file of its own";
                    return self.fail("TRN0107", "a second document begins here".into(), span, Some(hint));
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(anchor, tag) => self.start(Kind::Array(Vec::new()), anchor, tag.as_deref(), span),
            Event::MappingStart(anchor, tag) => self.start(Kind::Object(Vec::new()), anchor, tag.as_deref(), span),
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
        }
    }

    fn start(&mut self, kind: Kind, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Box<Diagnostic>> {
        self.check_tag(tag, span)?;
        self.check_key_is_string(span)?;
        if self.open.len() >= self.limits.depth_max {
            let message = format!("nested more than {} deep", self.limits.depth_max);
            return self.fail("TRN0103", message, span, Some("split the definition, or flatten the data"));
        }
        let nodes_before = self.nodes;
        self.count(1, span)?;
        let node = Node { span, name: span, kind };
        self.open.push(Open { node, anchor, nodes_before, key: None, keys: BTreeMap::new() });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Box<Diagnostic>> {
        let Some(mut done) = self.open.pop() else { return Ok(()) };
        let children_end = match &done.node.kind {
            Kind::Array(items) => items.last().map(|n| n.span.end),
            Kind::Object(entries) => entries.last().map(|e| e.value.span.end.max(e.key_span.end)),
            _ => None,
        };
        // A block collection "ends" where the next token begins: its last child says better where.
        let flow =
            self.source.text.as_bytes().get(done.node.span.start as usize).is_some_and(|b| matches!(b, b'[' | b'{'));
        let end = if flow { span.end } else { children_end.unwrap_or(done.node.span.end) };
        done.node.span.end = end.max(done.node.span.start);
        if done.anchor > 0 {
            let nodes = self.nodes - done.nodes_before;
            // The copy kept for aliases counts too, for anchors nest.
            if self.nodes + nodes > self.limits.nodes_max {
                return Err(self.too_many_aliases(done.node.span));
            }
            self.nodes += nodes;
            self.anchors.insert(done.anchor, (done.node.clone(), nodes));
        }
        self.place(done.node)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        self.check_key_is_string(span)?;
        let Some((node, nodes)) = self.anchors.get(&anchor) else {
            return self.fail("TRN0105", "an alias within its own anchor".into(), span, None);
        };
        let (nodes, depth) = (*nodes, depth(node));
        if self.nodes + nodes > self.limits.nodes_max {
            return Err(self.too_many_aliases(span));
        }
        if self.open.len() + depth > self.limits.depth_max {
            let message = format!("aliases nest the document more than {} deep", self.limits.depth_max);
            return self.fail("TRN0105", message, span, None);
        }
        let mut node = node.clone();
        self.nodes += nodes;
        move_to(&mut node, span);
        self.place(node)
    }

    fn too_many_aliases(&self, span: Span) -> Box<Diagnostic> {
        let message = format!("anchors and aliases expand the document to more than {} values", self.limits.nodes_max);
        finding(self.source, "TRN0105", message, span, Some("write out what differs instead of nesting aliases"))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Box<Diagnostic>> {
        let forced_string = self.check_tag(tag, span)?;
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let as_text = || Kind::String(text.into(), style);
        let kind = if style != Style::Plain || forced_string {
            as_text()
        } else {
            match scalar::resolve(text) {
                Plain::Null => Kind::Null,
                Plain::Bool(b) => Kind::Bool(b),
                Plain::Int(n) => Kind::Int(n),
                Plain::Float(n) => Kind::Float(n),
                Plain::Text => as_text(),
                Plain::NotFinite if self.expects_key() => as_text(),
                Plain::NotFinite => {
                    let message = format!("`{text}` is no number of JSON");
                    return self.fail("TRN0101", message, span, Some("quote it if a string is meant"));
                }
            }
        };
        if self.expects_key() {
            return self.key(kind, text, style, span);
        }
        self.count(1, span)?;
        let node = Node { span, name: span, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), 1));
        }
        self.place(node)
    }

    /// Whether the next value is a key of a map.
    fn expects_key(&self) -> bool {
        self.open.last().is_some_and(|o| o.key.is_none() && matches!(o.node.kind, Kind::Object(_)))
    }

    fn check_key_is_string(&self, span: Span) -> Result<(), Box<Diagnostic>> {
        if self.expects_key() {
            return self.fail("TRN0108", "a key must be a string".into(), span, Some("quote it"));
        }
        Ok(())
    }

    fn key(&mut self, kind: Kind, text: &str, style: Style, span: Span) -> Result<(), Box<Diagnostic>> {
        if !matches!(kind, Kind::String(..)) {
            let hint = format!("quote it: \"{text}\"");
            return self.fail("TRN0108", format!("the key `{text}` is not a string"), span, Some(&hint));
        }
        if style == Style::Plain && text == "<<" {
            let hint = "YAML 1.2 has no merge key; write the members out, or use an alias for the whole value";
            return self.fail("TRN0110", "merge keys are not supported".into(), span, Some(hint));
        }
        self.count(1, span)?;
        let Some(Open { key, keys, .. }) = self.open.last_mut() else { return Ok(()) };
        let text = EcoString::from(text);
        if let Some(first) = keys.insert(text.clone(), span) {
            let place = self.source.place(first);
            let mut error = finding(
                self.source,
                "TRN0106",
                format!("duplicate key \"{text}\""),
                span,
                Some("remove or rename one of them"),
            );
            error.related.push(Related { message: "first given here".into(), place });
            return Err(error);
        }
        *key = Some((text, span));
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, mut node: Node) -> Result<(), Box<Diagnostic>> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.kind {
            Kind::Object(entries) => {
                let Some((key, key_span)) = parent.key.take() else { return Ok(()) };
                node.name = key_span;
                entries.push(Entry { key, key_span, value: node });
            }
            Kind::Array(items) => items.push(node),
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        self.nodes += nodes;
        if self.nodes > self.limits.nodes_max {
            let message = format!("the document has more than {} values", self.limits.nodes_max);
            return self.fail("TRN0104", message, span, None);
        }
        Ok(())
    }

    /// Whether the tag makes a scalar a string. Only tags that say what the core schema says anyway are accepted.
    fn check_tag(&self, tag: Option<&Tag>, span: Span) -> Result<bool, Box<Diagnostic>> {
        let Some(tag) = tag else { return Ok(false) };
        let known = matches!(&*tag.suffix, "str" | "int" | "float" | "bool" | "null" | "map" | "seq");
        let core = tag.is_yaml_core_schema() && known;
        let non_specific = tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty();
        if !core && !non_specific {
            return self.fail(
                "TRN0109",
                format!("the tag `{tag}` is not supported"),
                span,
                Some("remove it; definitions are plain data"),
            );
        }
        Ok(non_specific || tag.suffix == "str")
    }

    fn syntax_error(&self, problem: &saphyr_parser::ScanError) -> Box<Diagnostic> {
        let at = self.byte(problem.marker().index());
        let place = self.source.place(Span::new(at, at));
        let line = self.source.line(place.line);
        let before: String = line.chars().take(place.column as usize - 1).collect();
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        let hint = if indent.contains('\t') || before.trim().is_empty() && before.contains('\t') {
            Some("YAML is indented with spaces, not with tabs")
        } else if self.source.text.trim_start().starts_with('{') {
            Some("check the commas, quotes and brackets before this place")
        } else {
            Some("check the indentation, and quote texts that contain `: `, ` #` or begin with a special character")
        };
        let info = problem.info();
        if info.contains("recursion") {
            // The scanner keeps a limit of its own for `[` and `{`.
            let hint = "split the definition, or flatten the data";
            return finding(self.source, "TRN0103", "nested too deep".into(), Span::new(at, at), Some(hint));
        }
        finding(self.source, "TRN0101", format!("not valid YAML: {info}"), Span::new(at, at), hint)
    }
}

/// Lists and maps within each other.
fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Object(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Findings inside an aliased value point at the alias.
fn move_to(node: &mut Node, span: Span) {
    node.span = span;
    node.name = span;
    match &mut node.kind {
        Kind::Array(items) => items.iter_mut().for_each(|n| move_to(n, span)),
        Kind::Object(entries) => {
            for entry in entries {
                entry.key_span = span;
                move_to(&mut entry.value, span);
            }
        }
        _ => {}
    }
}
