//! Time in the simulation: what passes, and what the wall clock makes of it.

use trinity_engine::time::Timestamp;

/// A moment as the node, and as the simulation sees it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// Microseconds since the run began: what no setting of clocks changes.
    pub steady: u64,
    /// By how much the wall clock was set forward so far, in microseconds.
    pub forward: u64,
    /// What of that the node's clock has followed: it begins with the wall clock and then runs as time passes.
    pub followed: u64,
    /// By how much it was set back with the last setting.
    pub back: u64,
    /// Since when, in steady microseconds, nothing has hindered the node.
    pub healthy_since: u64,
}

/// When a run begins.
const START: &str = "2026-01-01T00:00:00Z";

pub struct Time {
    now: Moment,
}

impl Time {
    pub fn new() -> Time {
        let wall = Timestamp::parse_rfc3339(START).expect("a time");
        Time { now: Moment { wall, steady: 0, forward: 0, followed: 0, back: 0, healthy_since: 0 } }
    }

    pub fn now(&self) -> Moment {
        self.now
    }

    pub fn pass(&mut self, micros: u64) {
        self.now.steady += micros;
        self.now.wall = Timestamp(self.now.wall.micros() + micros);
    }

    /// Sets the wall clock forward or back.
    pub fn set(&mut self, forward: bool, micros: u64) {
        let wall = self.now.wall.micros();
        if forward {
            self.now.forward += micros;
            self.now.back = 0;
            self.now.wall = Timestamp(wall + micros);
        } else {
            self.now.back = micros;
            self.now.wall = Timestamp(wall - micros);
        }
    }

    /// A node starts.
    pub fn follow(&mut self) {
        self.now.followed = self.now.forward;
    }

    /// Something hinders the node now.
    pub fn hinder(&mut self) {
        self.now.healthy_since = self.now.steady;
    }
}
