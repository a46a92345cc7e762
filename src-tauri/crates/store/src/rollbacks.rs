//! Rollback plans and runs: the only record from which a control plane may be written to.
//!
//! What must stay true, whatever number of processes try: a plan is used by at most one run, and an endpoint has at most
//! one unfinished run. Two unique indexes hold this, not the code. A finished run is not changed any more.

use pilothouse_domain::{EndpointId, PlanId, RollbackPlan, RollbackRun, RunId, RunState};
use rusqlite::{Connection, OptionalExtension as _, ToSql};

use crate::error::{is_foreign_key_violation, is_unique_violation};
use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

/// No foreign keys to the endpoint: these records outlive it.
pub(crate) const V1: &str = "
CREATE TABLE rollback_plan (
    id TEXT PRIMARY KEY,
    endpoint INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    plan TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE rollback_run (
    id TEXT PRIMARY KEY,
    plan TEXT NOT NULL UNIQUE REFERENCES rollback_plan (id),
    endpoint INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    finished INTEGER NOT NULL CHECK (finished IN (0, 1)),
    run TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX rollback_run_unfinished ON rollback_run (endpoint) WHERE finished = 0;
CREATE INDEX rollback_run_by_endpoint ON rollback_run (endpoint, started_ms);";

const PLAN: &str = "rollback plan";
const RUN: &str = "rollback run";

impl Store {
    /// Stores a plan. A plan is never changed: another plan of the same id is refused.
    pub fn add_plan(&self, plan: &RollbackPlan) -> Result<(), StoreError> {
        let document = to_json(PLAN, plan)?;
        let (id, endpoint, created) = (plan.id.clone(), plan.endpoint, plan.created);
        self.write("store the rollback plan", move |connection| {
            connection
                .prepare_cached("INSERT INTO rollback_plan (id, endpoint, created_ms, plan) VALUES (?1, ?2, ?3, ?4)")?
                .execute((id.as_str(), endpoint.0, created.0, document))
                .map_err(|error| {
                    if is_unique_violation(&error) {
                        StoreError::NameTaken { what: PLAN, name: id.0 }
                    } else {
                        error.into()
                    }
                })?;
            Ok(())
        })
    }

    /// The plan with this id.
    pub fn plan(&self, id: &PlanId) -> Result<Option<RollbackPlan>, StoreError> {
        self.read("read the rollback plan", |connection| {
            let document: Option<String> = connection
                .prepare_cached("SELECT plan FROM rollback_plan WHERE id = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()?;
            document.map(|document| from_json(PLAN, id, &document)).transpose()
        })
    }

    /// Stores a new run of a stored plan. [`StoreError::PlanUsed`] when the plan has a run already,
    /// [`StoreError::RunInProgress`] when the endpoint has an unfinished one, also when another process was first.
    pub fn begin_run(&self, run: &RollbackRun) -> Result<(), StoreError> {
        let document = to_json(RUN, run)?;
        let run = run.clone();
        self.write("begin the rollback run", move |connection| {
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO rollback_run (id, plan, endpoint, started_ms, finished, run) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((
                    run.id.as_str(),
                    run.plan.id.as_str(),
                    run.plan.endpoint.0,
                    run.started.0,
                    run.state == RunState::Finished,
                    document,
                ));
            match inserted {
                Ok(_) => Ok(()),
                Err(error) if is_unique_violation(&error) => Err(refusal(connection, &run)?),
                Err(error) if is_foreign_key_violation(&error) => Err(StoreError::not_found(PLAN, &run.plan.id)),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Replaces what is known of a run. A finished run is refused with [`StoreError::RunFinished`], unless nothing changes.
    pub fn update_run(&self, run: &RollbackRun) -> Result<(), StoreError> {
        let document = to_json(RUN, run)?;
        let (id, finished) = (run.id.clone(), run.state == RunState::Finished);
        self.write("store the rollback run", move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE rollback_run SET finished = ?2, run = ?3 WHERE id = ?1 AND (finished = 0 OR run = ?3)",
                )?
                .execute((id.as_str(), finished, document))?;
            if changed == 1 {
                return Ok(());
            }
            if connection.prepare_cached("SELECT 1 FROM rollback_run WHERE id = ?1")?.exists([id.as_str()])? {
                return Err(StoreError::RunFinished { run: id });
            }
            Err(StoreError::not_found(RUN, &id))
        })
    }

    /// The run with this id.
    pub fn run(&self, id: &RunId) -> Result<Option<RollbackRun>, StoreError> {
        Ok(self.read_runs("WHERE id = ?1", &[&id.0])?.pop())
    }

    /// The runs, of one endpoint when one is given, newest first.
    pub fn runs(&self, endpoint: Option<EndpointId>) -> Result<Vec<RollbackRun>, StoreError> {
        match endpoint {
            Some(endpoint) => self.read_runs("WHERE endpoint = ?1", &[&endpoint.0]),
            None => self.read_runs("", &[]),
        }
    }

    /// The runs that are not finished, newest first: what to take up again after a crash.
    pub fn unfinished_runs(&self) -> Result<Vec<RollbackRun>, StoreError> {
        self.read_runs("WHERE finished = 0", &[])
    }

    fn read_runs(&self, condition: &str, parameters: &[&dyn ToSql]) -> Result<Vec<RollbackRun>, StoreError> {
        self.read("read the rollback runs", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT id, run FROM rollback_run {condition} ORDER BY started_ms DESC, id"
            ))?;
            let mut rows = statement.query(parameters)?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push(from_json(RUN, &row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?);
            }
            Ok(runs)
        })
    }
}

/// The unfinished run of the endpoint, if there is one.
pub(crate) fn unfinished_run(connection: &Connection, endpoint: EndpointId) -> Result<Option<RunId>, StoreError> {
    let run: Option<String> = connection
        .prepare_cached("SELECT id FROM rollback_run WHERE endpoint = ?1 AND finished = 0")?
        .query_row([endpoint.0], |row| row.get(0))
        .optional()?;
    Ok(run.map(RunId))
}

/// Why a unique index refused `run`.
fn refusal(connection: &Connection, run: &RollbackRun) -> Result<StoreError, StoreError> {
    let user: Option<String> = connection
        .prepare_cached("SELECT id FROM rollback_run WHERE plan = ?1")?
        .query_row([run.plan.id.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(user) = user {
        return Ok(StoreError::PlanUsed { plan: run.plan.id.clone(), run: RunId(user) });
    }
    Ok(match unfinished_run(connection, run.plan.endpoint)? {
        Some(unfinished) => StoreError::RunInProgress { run: unfinished },
        None => StoreError::NameTaken { what: RUN, name: run.id.0.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenOptions;
    use crate::testing::{plan, run, store};

    #[test]
    fn a_run_goes_from_begin_to_verdict() {
        let (_folder, store) = store();
        let endpoint = EndpointId(1);
        store.add_plan(&plan("p1", endpoint)).unwrap();
        assert!(matches!(store.add_plan(&plan("p1", endpoint)), Err(StoreError::NameTaken { .. })));
        assert_eq!(store.plan(&"p1".into()).unwrap(), Some(plan("p1", endpoint)));
        let mut first = run("r1", plan("p1", endpoint));
        let unknown_plan = store.begin_run(&run("r0", plan("p0", endpoint)));
        assert!(matches!(unknown_plan, Err(StoreError::NotFound { .. })), "{unknown_plan:?}");
        store.begin_run(&first).unwrap();
        assert_eq!(store.unfinished_runs().unwrap(), std::slice::from_ref(&first));
        first.state = RunState::Finished;
        first.verdict = Some(pilothouse_domain::Verdict::Verified);
        store.update_run(&first).unwrap();
        store.update_run(&first).unwrap();
        assert!(store.unfinished_runs().unwrap().is_empty());
        assert_eq!(store.run(&first.id).unwrap().as_ref(), Some(&first));
        let used = store.begin_run(&run("r2", plan("p1", endpoint)));
        assert!(matches!(used, Err(StoreError::PlanUsed { .. })), "{used:?}");
        let mut zombie = first.clone();
        zombie.state = RunState::Applying;
        assert!(matches!(store.update_run(&zombie), Err(StoreError::RunFinished { .. })));
        zombie.id = "r9".into();
        assert!(matches!(store.update_run(&zombie), Err(StoreError::NotFound { .. })));
        assert_eq!(store.runs(None).unwrap(), [first]);
        assert!(store.runs(Some(EndpointId(2))).unwrap().is_empty());
    }

    #[test]
    fn of_two_processes_only_one_begins() {
        let (folder, one) = store();
        let two = Store::open(&folder.path().join("pilothouse.db"), &OpenOptions::default()).unwrap();
        let endpoint = EndpointId(1);
        for plan_id in ["p1", "p2"] {
            one.add_plan(&plan(plan_id, endpoint)).unwrap();
        }
        for round in 0..20 {
            // The same plan twice, then another plan of the same endpoint.
            let other_plan = if round % 2 == 0 { "p1" } else { "p2" };
            let begin = |store: &Store, id: &str, plan_id: &str| store.begin_run(&run(id, plan(plan_id, endpoint)));
            let barrier = std::sync::Barrier::new(2);
            let (a, b) = std::thread::scope(|scope| {
                let first = scope.spawn(|| {
                    barrier.wait();
                    begin(&one, "a", "p1")
                });
                barrier.wait();
                (begin(&two, "b", other_plan), first.join().unwrap())
            });
            let (winner, loser) = if a.is_ok() { (a, b) } else { (b, a) };
            winner.unwrap();
            let refused = loser.unwrap_err();
            if other_plan == "p1" {
                assert!(matches!(refused, StoreError::PlanUsed { .. }), "{refused:?}");
            } else {
                assert!(matches!(refused, StoreError::RunInProgress { .. }), "{refused:?}");
            }
            assert_eq!(one.unfinished_runs().unwrap(), two.unfinished_runs().unwrap());
            one.write("start over", |connection| Ok(connection.execute("DELETE FROM rollback_run", [])?)).unwrap();
        }
    }
}
