//! Measuring in turns.
//!
//! A machine that belongs to others as well is not the same from one second to the next: two figures can only be compared if they come
//! from the same time. So what is compared takes short turns, many of them, and each turn is compared with the turns beside it.

use std::{fmt, time::Duration};

use tokio::runtime::Runtime;

use crate::generator::{Asking, Figure, Timing, Turn, rated};

/// How long one turn counts where several servers are compared.
const TURN: Duration = Duration::from_millis(250);

/// Before a turn counts, from the second one on: the core's caches hold what somebody else needed.
const WARM_UP: Duration = Duration::from_millis(50);

/// One server and who asks it.
pub(crate) struct Contender<'a> {
    pub(crate) asking: Asking,
    /// How long the server has worked so far, where that is known.
    pub(crate) used: Option<&'a dyn Fn() -> Duration>,
}

/// What was found.
#[derive(Clone)]
pub(crate) struct Measured {
    /// From all turns together.
    pub(crate) figure: Figure,
    /// How much of its core the server used; less than nearly all of it says that something else was the limit.
    pub(crate) busy: Option<f64>,
    /// Answers per second in each turn.
    rates: Vec<f64>,
}

/// How many times as fast one was as the other in the same turns.
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// A quarter of the turns had less, a quarter more.
    quartiles: (f64, f64),
}

/// Everybody in turns, in the order of `contenders`, until each has had the window of `timing`; somebody alone has it in one turn. Ends
/// early where one of them has nothing left to ask.
pub(crate) fn measure(load: &Runtime, contenders: &mut [Contender<'_>], timing: Timing) -> Vec<Measured> {
    let turn = if contenders.len() > 1 { TURN.min(timing.window) } else { timing.window };
    let count = timing.window.as_micros().div_ceil(turn.as_micros());
    let used =
        |contenders: &[Contender<'_>]| -> Vec<_> { contenders.iter().map(|c| c.used.map(|used| used())).collect() };
    let before = used(contenders);
    let mut taken = vec![Vec::new(); contenders.len()];
    let mut asked = Duration::ZERO;
    'turns: for at in 0..count {
        let timing = Timing { warm_up: if at == 0 { timing.warm_up } else { WARM_UP }, window: turn };
        let mut round = Vec::new();
        for contender in &mut *contenders {
            let Some(turn) = load.block_on(contender.asking.turn(timing)) else { break 'turns };
            round.push(turn);
        }
        asked += timing.warm_up + timing.window;
        taken.iter_mut().zip(round).for_each(|(taken, turn)| taken.push(turn));
    }
    let busy = before.into_iter().zip(used(contenders));
    let busy = busy.map(|(before, after)| Some((after? - before?).as_secs_f64() / asked.as_secs_f64()));
    taken.into_iter().zip(busy).map(|(turns, busy)| Measured::from(turns, busy)).collect()
}

impl Measured {
    fn from(turns: Vec<Turn>, busy: Option<f64>) -> Self {
        assert!(!turns.is_empty(), "there was nothing left to ask before the warm-up was over");
        let rates = turns.iter().map(|turn| turn.took.len() as f64 / turn.whole.as_secs_f64()).collect();
        let whole = turns.iter().map(|turn| turn.whole).sum();
        let took = turns.into_iter().flat_map(|turn| turn.took).collect();
        Self { figure: rated(took, whole), busy, rates }
    }

    /// A figure that nothing is compared with.
    pub(crate) fn alone(figure: Figure) -> Self {
        Self { figure, busy: None, rates: vec![figure.rate] }
    }

    /// This as a share of `limit`, which took turns with it.
    pub(crate) fn of(&self, limit: &Self) -> Ratio {
        let mut ratios: Vec<f64> = self.rates.iter().zip(&limit.rates).map(|(rate, limit)| rate / limit).collect();
        ratios.sort_by(f64::total_cmp);
        let quarter = |quarters: usize| ratios[(ratios.len() - 1) * quarters / 4];
        Ratio { median: quarter(2), quartiles: (quarter(1), quarter(3)) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.quartiles;
        write!(f, "{:.2} ({low:.2} to {high:.2})", self.median)
    }
}
