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
    /// Found, and correct.
    pub right: usize,
    /// Found, but wrong.
    pub wrong: usize,
    /// Not found.
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

/// Label, first and last word of each entity, as seqeval's default mode finds them in whatever scheme: an `I-` that continues
/// nothing begins an entity, and marks that it does not know go on with one of their label.
fn chunks<T: AsRef<str>>(tags: &[T]) -> BTreeSet<(&str, usize, usize)> {
    let mut found = BTreeSet::new();
    let mut first = 0;
    let mut before = parts("O");
    for (i, tag) in tags.iter().map(AsRef::as_ref).chain(["O"]).enumerate() {
        let now = parts(tag);
        let (was, is) = (before.0, now.0);
        let is_other = before.1 != now.1;
        let ends =
            matches!(was, 'E' | 'S') || matches!((was, is), ('B' | 'I', 'B' | 'S' | 'O')) || was != 'O' && is_other;
        if ends {
            found.insert((before.1, first, i - 1));
        }
        let begins =
            matches!(is, 'B' | 'S') || matches!((was, is), ('E' | 'S' | 'O', 'E' | 'I')) || is != 'O' && is_other;
        if begins {
            first = i;
        }
        before = now;
    }
    found
}

/// Mark and label of `B-label`; a mark alone is of entities without a label, and a label without a mark is inside its entity.
fn parts(tag: &str) -> (char, &str) {
    let mut rest = tag.chars();
    match (rest.next(), rest.as_str()) {
        (Some(mark), "") => (mark, ""),
        (Some(mark), marked) if marked.starts_with('-') => (mark, marked.get(1..).unwrap_or_default()),
        _ => ('I', tag),
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

    /// What seqeval 1.2 finds in tags that were drawn at random.
    #[test]
    fn entities_of_odd_tags_are_seqevals() {
        let cases = [
            (
                "O B-b E-a S-b O E-a E-a I-a B-a E-b S-b S-b E-a S-b",
                "b 1 1, a 2 2, b 3 3, a 5 5, a 6 6, a 7 7, a 8 8, b 9 9, b 10 10, b 11 11, a 12 12, b 13 13",
            ),
            (
                "M-a S-b M-b O M-b S-b S-b E-b S-a B-b O M-b E-a B-b",
                "a 0 0, b 1 1, b 1 2, b 5 5, b 6 6, b 7 7, a 8 8, b 9 9, b 11 11, a 12 12, b 13 13",
            ),
            (
                "S-b M-b E-b O M-a M-b S-b B-b M-b E-b B-a M-b O M-a",
                "b 0 0, b 0 2, a 4 4, b 6 6, b 7 9, a 10 10, b 11 11, a 13 13",
            ),
            ("I-a U-a I-a I-a L-a U-a O B-b U-b U-a O I-a L-a L-b", "a 0 5, b 7 8, a 9 9, a 11 12, b 13 13"),
            (
                "L-b B-b B-b B-b O O L-b L-a U-b O O L-b I-a O",
                "b 1 1, b 2 2, b 3 3, b 6 6, a 7 7, b 8 8, b 11 11, a 12 12",
            ),
            ("I O I I B O O I O I I I I B", "_ 0 0, _ 2 3, _ 4 4, _ 7 7, _ 9 12, _ 13 13"),
        ];
        for (tags, wanted) in cases {
            let tags: Vec<&str> = tags.split(' ').collect();
            let mut found: Vec<_> =
                chunks(&tags).into_iter().map(|(label, first, last)| (first, last, label)).collect();
            found.sort_unstable();
            let named = |label: &str| if label.is_empty() { "_".to_owned() } else { label.to_owned() };
            let found: Vec<_> =
                found.iter().map(|(first, last, label)| format!("{} {first} {last}", named(label))).collect();
            assert_eq!(found.join(", "), wanted, "{tags:?}");
        }
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
