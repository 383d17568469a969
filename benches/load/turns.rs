//! Measuring in turns.
//!
//! A machine that belongs to others as well is not the same from one second to the next: two figures can only be compared if they come
//! from the same time. So what is compared takes short turns, many of them, and each turn is compared with the turns beside it.

use std::{fmt, time::Duration};

use tokio::{runtime::Runtime, time::Instant};

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

/// The turns that `contenders` take: how many each has, and how long it counts. Somebody alone has the window in one turn.
fn turns(contenders: usize, window: Duration) -> (u32, Duration) {
    let turn = if contenders > 1 { TURN.min(window) } else { window };
    (u32::try_from(window.as_micros().div_ceil(turn.as_micros())).unwrap_or(u32::MAX), turn)
}

/// How long each of them is asked altogether.
pub(crate) fn asked(contenders: usize, timing: Timing) -> Duration {
    let (count, turn) = turns(contenders, timing.window);
    timing.warm_up + WARM_UP * (count - 1) + turn * count
}

/// Everybody in turns until each has had the window of `timing`, whoever was last being the first of the next round. Ends
/// early where one of them has nothing left to ask.
pub(crate) fn measure(load: &Runtime, contenders: &mut [Contender<'_>], timing: Timing) -> Vec<Measured> {
    let (count, window) = turns(contenders.len(), timing.window);
    let mut taken = vec![Vec::new(); contenders.len()];
    let mut work = vec![(Duration::ZERO, Duration::ZERO); contenders.len()];
    'turns: for at in 0..count {
        let timing = Timing { warm_up: if at == 0 { timing.warm_up } else { WARM_UP }, window };
        let mut round = vec![None; contenders.len()];
        for place in 0..contenders.len() {
            let place = if at % 2 == 0 { place } else { contenders.len() - 1 - place };
            let Contender { asking, used } = &mut contenders[place];
            let (since, before) = (Instant::now(), used.map(|used| used()));
            let Some(turn) = load.block_on(asking.turn(timing)) else { break 'turns };
            let after = used.map(|used| used());
            round[place] = Some(turn);
            work[place].0 += after.zip(before).map_or(Duration::ZERO, |(after, before)| after - before);
            // Until the last answer of the turn has come.
            work[place].1 += since.elapsed();
        }
        taken.iter_mut().zip(round).for_each(|(taken, turn)| taken.extend(turn));
    }
    let busy = |(used, asked): (Duration, Duration)| used.as_secs_f64() / asked.as_secs_f64();
    let busy = contenders.iter().zip(work).map(|(contender, work)| contender.used.map(|_| busy(work)));
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
        Ratio { median: quantile(&ratios, 0.5), quartiles: (quantile(&ratios, 0.25), quantile(&ratios, 0.75)) }
    }
}

/// What this share of `sorted` is below; between two of them, the line from one to the other.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.quartiles;
        write!(f, "{:.2} ({low:.2} to {high:.2})", self.median)
    }
}
