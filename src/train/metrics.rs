//! How good predictions are: GLUE's measures, and those of entities.
//!
//! The definitions are those of scikit-learn, SciPy and seqeval (its default mode), as GLUE and CoNLL report them. All are fractions of 1.

use std::collections::{BTreeMap, BTreeSet};

/// The share of pairs that are equal.
pub fn accuracy<T: PartialEq>(predicted: &[T], gold: &[T]) -> f64 {
    let right = predicted.iter().zip(gold).filter(|(p, g)| p == g).count();
    right as f64 / gold.len().max(1) as f64
}

/// How often a thing was found rightly, found wrongly, and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub right: usize,
    pub wrong: usize,
    pub missed: usize,
}

impl Counts {
    /// Of one class against all others.
    pub fn of(predicted: impl IntoIterator<Item = bool>, gold: impl IntoIterator<Item = bool>) -> Self {
        let mut counts = Self::default();
        for pair in predicted.into_iter().zip(gold) {
            match pair {
                (true, true) => counts.right += 1,
                (true, false) => counts.wrong += 1,
                (false, true) => counts.missed += 1,
                (false, false) => {}
            }
        }
        counts
    }

    /// Of what was found, the share that is right; 0 where nothing was.
    pub fn precision(self) -> f64 {
        ratio(self.right, self.right + self.wrong)
    }

    /// Of what there is, the share that was found; 0 where there is nothing.
    pub fn recall(self) -> f64 {
        ratio(self.right, self.right + self.missed)
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(self) -> f64 {
        ratio(2 * self.right, 2 * self.right + self.wrong + self.missed)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The mean of the classes' F1, of all classes that occur.
pub fn macro_f1(predicted: &[usize], gold: &[usize]) -> f64 {
    let classes: BTreeSet<_> = predicted.iter().chain(gold).collect();
    let f1 = |class: &usize| Counts::of(predicted.iter().map(|p| p == class), gold.iter().map(|g| g == class)).f1();
    classes.iter().map(|class| f1(class)).sum::<f64>() / classes.len().max(1) as f64
}

/// Matthews' correlation coefficient of two classes or more; 0 where it is not defined.
pub fn matthews(predicted: &[usize], gold: &[usize]) -> f64 {
    let mut of_class: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
    for (p, g) in predicted.iter().zip(gold) {
        of_class.entry(*p).or_default()[0] += 1.0;
        of_class.entry(*g).or_default()[1] += 1.0;
    }
    let n = gold.len() as f64;
    let right = predicted.iter().zip(gold).filter(|(p, g)| p == g).count() as f64;
    let sum = |f: fn(&[f64; 2]) -> f64| of_class.values().map(f).sum::<f64>();
    let above = right * n - sum(|[p, g]| p * g);
    let below = (n * n - sum(|[p, _]| p * p)) * (n * n - sum(|[_, g]| g * g));
    if below > 0.0 { above / below.sqrt() } else { 0.0 }
}

/// Pearson's correlation; 0 where one side does not vary.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len().max(1) as f64;
    let [mean_x, mean_y] = [x, y].map(|v| v.iter().sum::<f64>() / n);
    let [mut xy, mut xx, mut yy] = [0.0; 3];
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

/// Spearman's rank correlation; equal values share the mean of their ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for same in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (same.len() as f64 - 1.0) / 2.0;
        same.iter().for_each(|i| ranks[*i] = rank);
        first += same.len();
    }
    ranks
}

/// Entities of all sentences' tags: right are those of the same place and label.
pub fn entities<T: AsRef<str>>(predicted: &[Vec<T>], gold: &[Vec<T>]) -> Counts {
    let mut counts = Counts::default();
    for (predicted, gold) in predicted.iter().zip(gold) {
        let [predicted, gold] = [predicted, gold].map(|tags| chunks(tags));
        let right = predicted.intersection(&gold).count();
        counts.right += right;
        counts.wrong += predicted.len() - right;
        counts.missed += gold.len() - right;
    }
    counts
}

/// Label, first and last word of each entity. As seqeval's default mode: an `I-` that continues nothing begins an entity.
fn chunks<T: AsRef<str>>(tags: &[T]) -> BTreeSet<(&str, usize, usize)> {
    let mut found = BTreeSet::new();
    let mut open: Option<(&str, usize)> = None;
    for (i, tag) in tags.iter().enumerate() {
        let (mark, label) = parts(tag.as_ref());
        let goes_on = matches!(mark, "I" | "E") && open.is_some_and(|(of, _)| of == label);
        if !goes_on {
            found.extend(open.take().map(|(label, first)| (label, first, i - 1)));
            open = (mark != "O").then_some((label, i));
        }
        if matches!(mark, "E" | "S") {
            found.extend(open.take().map(|(label, first)| (label, first, i)));
        }
    }
    found.extend(open.map(|(label, first)| (label, first, tags.len() - 1)));
    found
}

/// Mark and label of `B-label`; a tag without a mark is inside its entity.
fn parts(tag: &str) -> (&str, &str) {
    match tag.split_once('-') {
        Some((mark, label)) if matches!(mark, "B" | "I" | "E" | "S") => (mark, label),
        _ if tag == "O" => ("O", ""),
        _ => ("I", tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got}, not {want}");
    }

    // The wanted values were computed with scikit-learn 1.9, SciPy 1.17 and seqeval 1.2.
    const P: [usize; 10] = [0, 1, 2, 2, 1, 0, 1, 1, 0, 2];
    const G: [usize; 10] = [0, 1, 1, 2, 1, 0, 2, 1, 1, 2];

    #[test]
    fn classes() {
        close(accuracy(&P, &G), 0.7);
        close(macro_f1(&P, &G), 0.7111111111111111);
        close(matthews(&P, &G), 0.5471422245456321);
        close(matthews(&[1, 1, 0, 1], &[1, 0, 0, 1]), 0.5773502691896258);
        close(matthews(&[1, 1], &[0, 1]), 0.0);
        let counts = Counts::of(P.map(|p| p == 1), G.map(|g| g == 1));
        assert_eq!(counts, Counts { right: 3, wrong: 1, missed: 2 });
        close(counts.precision(), 0.75);
        close(counts.recall(), 0.6);
        close(counts.f1(), 2.0 / 3.0);
        close(Counts::default().f1(), 0.0);
    }

    #[test]
    fn correlations() {
        let x = [1.0, 2.5, 2.5, 4.0, -1.0, 7.0, 2.5];
        let y = [0.5, 3.0, 1.0, 3.0, 0.0, 5.5, 2.0];
        close(pearson(&x, &y), 0.9394332365539811);
        close(spearman(&x, &y), 0.9349469900084572);
        close(pearson(&[1.0, 1.0], &[0.0, 2.0]), 0.0);
    }

    #[test]
    fn entities_of_every_scheme() {
        let tags = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let gold = ["B-a I-a O B-b I-b I-b", "O B-a B-a O", "B-a I-b O O", "S-a B-b E-b O"].map(tags);
        let predicted = ["B-a I-a O I-b I-b O", "O B-a I-a O", "I-a I-b O B-c", "S-a B-b I-b O"].map(tags);
        let counts = entities(&predicted, &gold);
        assert_eq!((counts.right, counts.right + counts.wrong, counts.right + counts.missed), (5, 8, 8));
        assert_eq!(entities(&gold, &gold).f1(), 1.0);
    }
}
