//! The learning rate over a run: a linear warm-up, then a linear decay to zero.

/// A schedule like `transformers.get_linear_schedule_with_warmup`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// The steps of the warm-up.
    pub warmup: u64,
    /// All steps of the run.
    pub total: u64,
}

impl Schedule {
    /// The rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let share = if step < self.warmup {
            step as f64 / self.warmup.max(1) as f64
        } else {
            self.total.saturating_sub(step) as f64 / self.total.saturating_sub(self.warmup).max(1) as f64
        };
        self.peak * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_falls() {
        let schedule = Schedule { peak: 2.0, warmup: 4, total: 12 };
        let rates: Vec<f64> = [0, 2, 4, 8, 12, 13].map(|step| schedule.rate(step)).into();
        assert_eq!(rates, [0.0, 1.0, 2.0, 1.0, 0.0, 0.0]);
        assert_eq!(Schedule { peak: 1.0, warmup: 0, total: 2 }.rate(0), 1.0);
    }
}
