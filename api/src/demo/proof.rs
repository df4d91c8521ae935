//! Published = executed: every id exactly once, not by counters.

use std::collections::BTreeMap;

/// What is known of an execution that an event started.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub execution: String,
    /// Id of the event.
    pub event: String,
    pub status: String,
}

/// The comparison for one workflow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Row {
    pub workflow: String,
    /// Ids that should have started an execution.
    pub published: usize,
    /// Executions there are.
    pub executed: usize,
    /// Executions that completed.
    pub completed: usize,
    /// Ids without an execution.
    pub missing: Vec<String>,
    /// Ids with more than one.
    pub doubled: Vec<String>,
    /// Executions by ids that were never published.
    pub unknown: Vec<String>,
    /// Executions that did not complete.
    pub open: Vec<String>,
}

impl Row {
    /// Every id once, and completed.
    pub(super) fn holds(&self) -> bool {
        self.missing.is_empty() && self.doubled.is_empty() && self.unknown.is_empty() && self.open.is_empty()
    }

    /// What is wrong, with a few ids as examples.
    pub(super) fn problems(&self) -> Vec<String> {
        let lists = [
            ("without an execution", &self.missing),
            ("with several executions", &self.doubled),
            ("executed but never published", &self.unknown),
            ("not completed", &self.open),
        ];
        let wrong = lists.into_iter().filter(|(_, ids)| !ids.is_empty());
        wrong
            .map(|(what, ids)| {
                let few: Vec<&str> = ids.iter().take(3).map(String::as_str).collect();
                format!(
                    "{}: {} {what}: {}{}",
                    self.workflow,
                    ids.len(),
                    few.join(", "),
                    if ids.len() > 3 { ", …" } else { "" }
                )
            })
            .collect()
    }
}

/// Compares by ids.
pub(super) fn compare<'a>(workflow: &str, published: impl Iterator<Item = &'a str>, started: &[Started]) -> Row {
    let mut row = Row { workflow: workflow.to_owned(), executed: started.len(), ..Row::default() };
    let mut executions: BTreeMap<&str, usize> = BTreeMap::new();
    for execution in started {
        *executions.entry(&execution.event).or_default() += 1;
        if execution.status == "completed" {
            row.completed += 1;
        } else {
            row.open.push(format!("{} ({})", execution.execution, execution.status));
        }
    }
    for id in published {
        row.published += 1;
        match executions.remove(id) {
            None => row.missing.push(id.to_owned()),
            Some(1) => {}
            Some(_) => row.doubled.push(id.to_owned()),
        }
    }
    row.unknown = executions.into_keys().map(str::to_owned).collect();
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(list: &[(&str, &str)]) -> Vec<Started> {
        let started = |(event, status): &(&str, &str)| Started {
            execution: format!("x-{event}"),
            event: (*event).to_owned(),
            status: (*status).to_owned(),
        };
        list.iter().map(started).collect()
    }

    #[test]
    fn equal_sums_do_not_hide_a_loss_and_a_double() {
        let published = ["a", "b", "c"];
        let row = compare(
            "w",
            published.into_iter(),
            &started(&[("a", "completed"), ("b", "completed"), ("c", "completed")]),
        );
        assert!(row.holds(), "{row:?}");
        let row = compare(
            "w",
            published.into_iter(),
            &started(&[("a", "completed"), ("a", "completed"), ("c", "completed")]),
        );
        assert_eq!((row.published, row.executed), (3, 3));
        assert!(!row.holds());
        assert_eq!((row.missing, row.doubled), (vec!["b".to_owned()], vec!["a".to_owned()]));
    }

    #[test]
    fn what_is_not_done_or_not_ours_is_told() {
        let row = compare("w", ["a"].into_iter(), &started(&[("a", "waiting"), ("z", "completed")]));
        assert!(!row.holds());
        assert_eq!(row.problems(), ["w: 1 executed but never published: z", "w: 1 not completed: x-a (waiting)"]);
    }
}
