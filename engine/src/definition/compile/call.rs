//! `call`: HTTP, functions, and what is yet to come.

use ecow::EcoString;

use super::flow::Siblings;
use super::task::Seat;
use super::{Compiler, Scope};
use crate::definition::document::{Kind, Node, escape};
use crate::definition::suggest::nearest;
use crate::definition::uri_template;
use crate::expression::{self, Template};
use crate::plan::{Authentication, Endpoint, EndpointUri, HttpCall, HttpOutput, ListIx, SecretScheme, TaskKind};

/// Kinds of calls that the DSL has and this version does not run.
const LATER: [&str; 5] = ["grpc", "openapi", "asyncapi", "a2a", "mcp"];
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
const WITH: [&str; 7] = ["method", "endpoint", "headers", "query", "body", "output", "redirect"];
const SCHEMES: [&str; 5] = ["basic", "bearer", "digest", "oauth2", "oidc"];
/// Functions within functions.
const FUNCTION_DEPTH_MAX: usize = 16;
/// Why a function's task can't name another in a directive.
const FUNCTION: &str = "a function is one task on its own; use continue, exit or end";

impl<'a> Compiler<'a> {
    /// `call` with its `with`.
    pub(super) fn call(&mut self, task: &Node, node: &Node, scope: &Scope) -> Option<TaskKind> {
        let what = self.string(node, "`call`")?;
        if what == "http" {
            let with = self.required(task, "with", "`call: http`")?;
            return self.http(with, scope).map(|call| TaskKind::CallHttp(Box::new(call)));
        }
        if LATER.contains(&what) {
            self.unsupported(node.span, format_args!("`call: {what}`"));
            return None;
        }
        let uses = self.uses.clone();
        if let Some(body) = uses.functions.get(what) {
            let arguments = match task.get("with") {
                Some(with) => self.arguments(with, scope),
                None => self.identity(scope),
            };
            let body = self.called(what, node, body, scope);
            return Some(TaskKind::CallFunction { arguments: arguments?, body: body? });
        }
        if what.contains("://") {
            self.unsupported(node.span, "a function called by its URL");
        } else if what.contains('@') {
            self.unsupported(node.span, "a function of a catalog");
        } else {
            let known = uses.functions.keys().map(|k| k.as_str()).chain(["http"]).chain(LATER);
            let hint = match nearest(what, known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "declare it in `use.functions`, or call http".to_owned(),
            };
            self.error_with("TRN0302", node.span, format!("no function \"{what}\" is declared"), hint);
        }
        None
    }

    fn arguments(&mut self, node: &Node, scope: &Scope) -> Option<Template> {
        match &node.kind {
            Kind::Object(_) | Kind::String(..) => self.transformation(node, "`with`", scope),
            _ => {
                self.wrong_type(node, "`with`", "a map of arguments");
                None
            }
        }
    }

    /// The body of a function for one call of it.
    fn called(&mut self, name: &str, call: &Node, body: &Node, scope: &Scope) -> Option<ListIx> {
        if self.functions_open.iter().any(|open| open == name) {
            let way: Vec<&str> = self.functions_open.iter().map(EcoString::as_str).chain([name]).collect();
            let message = format!("the function \"{name}\" calls itself: {}", way.join(" → "));
            self.error_with("TRN0304", call.span, message, "loop with `for` or a directive instead");
            return None;
        }
        if self.functions_open.len() >= FUNCTION_DEPTH_MAX {
            let message = format!("functions call each other more than {FUNCTION_DEPTH_MAX} deep");
            self.error("TRN0304", call.span, message);
            return None;
        }
        Some(self.function_body(name, body, scope))
    }

    /// A function's task, in a list of its own.
    pub(super) fn function_body(&mut self, name: &str, node: &Node, scope: &Scope) -> ListIx {
        let list = self.new_list();
        self.functions_open.push(name.into());
        self.functions_compiled.insert(name.into());
        let siblings = Siblings { names: vec![name], closed: Some(FUNCTION) };
        let seat = Seat { siblings: &siblings, list, position: 0 };
        let reference = format!("/use/functions/{}", escape(name));
        self.task(&name.into(), node, reference.into(), &seat, scope);
        self.functions_open.pop();
        list
    }

    fn http(&mut self, node: &Node, scope: &Scope) -> Option<HttpCall> {
        if !self.map(node, "the arguments of `call: http`", &WITH) {
            return None;
        }
        let method = self.required(node, "method", "`call: http`").and_then(|n| self.method(n));
        let endpoint = self.required(node, "endpoint", "`call: http`").and_then(|n| self.endpoint(n, scope));
        let headers = node.get("headers").and_then(|n| self.transformation(n, "`headers`", scope));
        let query = node.get("query").and_then(|n| self.transformation(n, "`query`", scope));
        let body = node.get("body").and_then(|n| self.template(n, scope));
        let output =
            node.get("output").and_then(|n| self.choice(n, "value of `output`", &["content", "raw", "response"]));
        let output = match output {
            Some(1) => HttpOutput::Raw,
            Some(2) => HttpOutput::Response,
            _ => HttpOutput::Content,
        };
        let redirect = node.get("redirect").and_then(|n| self.boolean(n, "`redirect`")).unwrap_or(false);
        Some(HttpCall { method: method?, endpoint: endpoint?, headers, query, body, output, redirect })
    }

    fn method(&mut self, node: &Node) -> Option<EcoString> {
        let text = self.string(node, "`method`")?;
        let upper = text.to_ascii_uppercase();
        if METHODS.contains(&upper.as_str()) {
            return Some(upper.into());
        }
        let hint = match nearest(&upper, METHODS) {
            Some(near) => format!("did you mean \"{}\"?", near.to_lowercase()),
            None => format!("one of: {}", METHODS.join(", ").to_lowercase()),
        };
        self.error_with("TRN0505", node.span, format!("\"{text}\" is no HTTP method"), hint);
        None
    }

    /// `endpoint`: a URI template, an expression, or a map with authentication.
    fn endpoint(&mut self, node: &Node, scope: &Scope) -> Option<Endpoint> {
        if let Kind::String(..) = node.kind {
            return self.uri(node, scope).map(|uri| Endpoint { uri, authentication: None });
        }
        if !self.map(node, "`endpoint`", &["uri", "authentication"]) {
            return None;
        }
        let uri = self.required(node, "uri", "`endpoint`").and_then(|n| self.uri(n, scope));
        let authentication = match node.get("authentication") {
            Some(n) => Some(self.authentication(n, scope)?),
            None => None,
        };
        Some(Endpoint { uri: uri?, authentication })
    }

    fn uri(&mut self, node: &Node, scope: &Scope) -> Option<EndpointUri> {
        let text = self.string(node, "`uri`")?;
        if expression::strip_wrapper(text).is_some() {
            return self.expression(node, "`uri`", scope).map(EndpointUri::Computed);
        }
        match uri_template::check(text) {
            Ok(()) => Some(EndpointUri::Template(text.into())),
            Err(wrong) => {
                let span = crate::definition::string_place::span_in_string(self.source, node, wrong.range);
                self.error_with("TRN0506", span, wrong.message, wrong.hint);
                None
            }
        }
    }

    /// `authentication`: a policy, or `{use: name}`.
    fn authentication(&mut self, node: &Node, scope: &Scope) -> Option<Authentication> {
        let Some(name) = node.get("use") else { return self.authentication_policy(node, scope) };
        self.map(node, "`authentication`", &["use"]);
        let text = self.string(name, "`use`")?;
        let uses = self.uses.clone();
        let policy = self.used(&uses.authentications, "authentications", "authentication", text, name.span)?;
        self.authentication_policy(policy, scope)
    }

    /// One of the schemes.
    pub(super) fn authentication_policy(&mut self, node: &Node, scope: &Scope) -> Option<Authentication> {
        if !self.map(node, "an authentication", &SCHEMES) {
            return None;
        }
        let scheme = self.exactly_one(node, "an authentication", &SCHEMES)?;
        let (name, value) = (scheme.key.as_str(), &scheme.value);
        let kind = match name {
            "basic" => SecretScheme::Basic,
            "bearer" => SecretScheme::Bearer,
            "digest" => SecretScheme::Digest,
            _ => {
                self.unsupported(scheme.key_span, format_args!("{name} authentication"));
                return None;
            }
        };
        if !self.is_map(value, &format!("`{name}`")) {
            return None;
        }
        if let Some(secret) = value.get("use") {
            self.map(value, &format!("`{name}`"), &["use"]);
            return self.declared_secret(secret).map(|secret| Authentication::Secret { scheme: kind, secret });
        }
        if kind == SecretScheme::Bearer {
            self.map(value, "`bearer`", &["token", "use"]);
            let token = self.required(value, "token", "`bearer`").and_then(|n| self.text(n, "`token`", scope));
            return Some(Authentication::Bearer { token: token? });
        }
        self.map(value, &format!("`{name}`"), &["username", "password", "use"]);
        let what = format!("`{name}`");
        let username = self.required(value, "username", &what).and_then(|n| self.text(n, "`username`", scope));
        let password = self.required(value, "password", &what).and_then(|n| self.text(n, "`password`", scope));
        let (username, password) = (username?, password?);
        Some(match kind {
            SecretScheme::Basic => Authentication::Basic { username, password },
            _ => Authentication::Digest { username, password },
        })
    }
}
