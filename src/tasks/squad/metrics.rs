//! Exact match and F1, as the official evaluation scripts v1.1 and v2.0 compute them.

use std::collections::HashMap;

use serde::Serialize;

/// Exact match and F1 over many questions, as the official script for SQuAD 1.1 computes them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    exact: f64,
    f1: f64,
    total: usize,
}

impl Metrics {
    /// Adds a prediction. It is compared with each gold answer, and the best comparison counts.
    pub fn add<S: AsRef<str>>(&mut self, prediction: &str, answers: &[S]) {
        let prediction = normalize(prediction);
        let golds = answers.iter().map(|a| normalize(a.as_ref()));
        let scores = golds.map(|gold| (f64::from(u8::from(gold == prediction)), f1(&prediction, &gold)));
        let (exact, f1) = scores.fold((0.0, 0.0), |(e, f): (f64, f64), (e1, f1)| (e.max(e1), f.max(f1)));
        self.exact += exact;
        self.f1 += f1;
        self.total += 1;
    }

    /// The share of predictions that equal a gold answer after normalization, 0 to 100.
    pub fn exact_match(&self) -> f64 {
        self.percent(self.exact)
    }

    /// The mean F1 over words with the best gold answer, 0 to 100.
    pub fn f1(&self) -> f64 {
        self.percent(self.f1)
    }

    /// The number of predictions.
    pub fn total(&self) -> usize {
        self.total
    }

    fn percent(&self, sum: f64) -> f64 {
        if self.total == 0 { 0.0 } else { 100.0 * sum / self.total as f64 }
    }
}

/// The metrics of SQuAD 2.0, as the official script computes them with null odds. The right answer to an unanswerable
/// question is an empty text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics2 {
    rows: Vec<Row>,
}

/// The scores of one question.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    exact: f64,
    f1: f64,
    has_answer: bool,
    answered: bool,
    null_odds: f64,
}

/// The metrics under the names of the official script. Scores are 0 to 100. A metric over questions with an answer, or
/// over those without one, is missing if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Exact match over all questions.
    pub exact: f64,
    /// F1 over all questions.
    pub f1: f64,
    /// The number of questions.
    pub total: usize,
    /// Exact match over the questions that have an answer.
    #[serde(rename = "HasAns_exact", skip_serializing_if = "Option::is_none")]
    pub has_ans_exact: Option<f64>,
    /// F1 over the questions that have an answer.
    #[serde(rename = "HasAns_f1", skip_serializing_if = "Option::is_none")]
    pub has_ans_f1: Option<f64>,
    /// The number of questions that have an answer.
    #[serde(rename = "HasAns_total", skip_serializing_if = "Option::is_none")]
    pub has_ans_total: Option<usize>,
    /// Exact match over the questions without an answer.
    #[serde(rename = "NoAns_exact", skip_serializing_if = "Option::is_none")]
    pub no_ans_exact: Option<f64>,
    /// F1 over the questions without an answer.
    #[serde(rename = "NoAns_f1", skip_serializing_if = "Option::is_none")]
    pub no_ans_f1: Option<f64>,
    /// The number of questions without an answer.
    #[serde(rename = "NoAns_total", skip_serializing_if = "Option::is_none")]
    pub no_ans_total: Option<usize>,
    /// The best `exact` that these predictions reach with any threshold.
    pub best_exact: f64,
    /// The threshold that gives `best_exact`.
    pub best_exact_thresh: f64,
    /// The best `f1` that these predictions reach with any threshold.
    pub best_f1: f64,
    /// The threshold that gives `best_f1`.
    pub best_f1_thresh: f64,
}

impl Metrics2 {
    /// Adds a prediction with its gold answers; an unanswerable question has none. `null_odds` is the score of "no
    /// answer" minus that of the best answer.
    pub fn add<S: AsRef<str>>(&mut self, prediction: &str, answers: &[S], null_odds: f64) {
        let normal = normalize(prediction);
        let mut golds: Vec<String> = answers.iter().map(|a| normalize(a.as_ref())).filter(|a| !a.is_empty()).collect();
        if golds.is_empty() {
            golds.push(String::new());
        }
        let exact = f64::from(u8::from(golds.contains(&normal)));
        // Two empty texts are equal here, unlike in version 1.1.
        let f1 = |gold: &String| if gold.is_empty() { exact } else { f1(&normal, gold) };
        self.rows.push(Row {
            exact,
            f1: golds.iter().map(f1).fold(0.0, f64::max),
            has_answer: !answers.is_empty(),
            answered: !prediction.is_empty(),
            null_odds,
        });
    }

    /// The metrics over all predictions.
    pub fn figures(&self) -> Figures {
        let share = |score: fn(&Row) -> f64, of: &[&Row]| {
            let sum: f64 = of.iter().map(|row| score(row)).sum();
            if of.is_empty() { 0.0 } else { 100.0 * sum / of.len() as f64 }
        };
        let all: Vec<&Row> = self.rows.iter().collect();
        let (with, without): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| row.has_answer);
        let some = |of: &[&Row], value: f64| (!of.is_empty()).then_some(value);
        let ((best_exact, best_exact_thresh), (best_f1, best_f1_thresh)) = (self.best(EXACT), self.best(F1));
        Figures {
            exact: share(EXACT, &all),
            f1: share(F1, &all),
            total: all.len(),
            has_ans_exact: some(&with, share(EXACT, &with)),
            has_ans_f1: some(&with, share(F1, &with)),
            has_ans_total: some(&with, 0.0).map(|_| with.len()),
            no_ans_exact: some(&without, share(EXACT, &without)),
            no_ans_f1: some(&without, share(F1, &without)),
            no_ans_total: some(&without, 0.0).map(|_| without.len()),
            best_exact,
            best_exact_thresh,
            best_f1,
            best_f1_thresh,
        }
    }

    /// The best score and its threshold. It starts with no question answered, then answers one more at a time, from the
    /// lowest odds up. A predicted empty answer stays empty.
    fn best(&self, score: fn(&Row) -> f64) -> (f64, f64) {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.null_odds.total_cmp(&b.null_odds));
        let mut sum = rows.iter().filter(|row| !row.has_answer).count() as f64;
        let (mut best, mut threshold) = (sum, 0.0);
        for row in rows {
            sum += match row.has_answer {
                true => score(row),
                false => -f64::from(u8::from(row.answered)),
            };
            if sum > best {
                (best, threshold) = (sum, row.null_odds);
            }
        }
        (if self.rows.is_empty() { 0.0 } else { 100.0 * best / self.rows.len() as f64 }, threshold)
    }
}

const EXACT: fn(&Row) -> f64 = |row| row.exact;
const F1: fn(&Row) -> f64 = |row| row.f1;

/// Converts to lower case, and removes ASCII punctuation, the words a, an and the, and repeated spaces.
pub fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // Like \b of Python's re, the ends of an article are word boundaries, which need not be spaces.
    let mut out = String::with_capacity(kept.len());
    for run in kept.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let word = run.trim_end_matches(|c: char| !c.is_alphanumeric());
        if matches!(word, "a" | "an" | "the") {
            out.push(' ');
            out.push_str(&run[word.len()..]);
        } else {
            out.push_str(run);
        }
    }
    out.split(is_space).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether Python's `str.split` splits at this character.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The harmonic mean of precision and recall over the words of two normalized texts. Repeated words count.
fn f1(prediction: &str, gold: &str) -> f64 {
    // A normalized text has only single spaces. An empty text has no words.
    let words = |text| str::split(text, ' ').filter(|w| !w.is_empty());
    let mut counts: HashMap<&str, usize> = HashMap::new();
    words(gold).for_each(|w| *counts.entry(w).or_default() += 1);
    let same =
        words(prediction).filter(|w| counts.get_mut(w).is_some_and(|n| n.checked_sub(1).map(|m| *n = m).is_some()));
    let same = same.count() as f64;
    if same == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (same / words(prediction).count() as f64, same / words(gold).count() as f64);
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_as_the_official_script() {
        for (text, want) in [
            ("The  Cat's hat!", "cats hat"),
            ("a-b an\u{a0}the\tTHE thesis", "ab thesis"),
            ("“a” – the…", "“ ” – …"),
            ("A", ""),
            ("the_a x", "thea x"),
            ("ΟΔΟΣ", "οδος"),
            ("a\u{301} b", "\u{301} b"),
            ("x\u{1c}y", "x y"),
        ] {
            assert_eq!(normalize(text), want, "{text:?}");
        }
    }

    #[test]
    fn f1_counts_repeated_words() {
        assert_eq!(f1("b b c", "b c c"), 2.0 / 3.0);
        assert_eq!(f1("b", "c"), 0.0);
        assert_eq!(f1("", ""), 0.0);
        let mut metrics = Metrics::default();
        metrics.add("the cat", &["dog", "Cat!"]);
        metrics.add("black cat", &["cat"]);
        metrics.add("a", &["an"]);
        assert_eq!(metrics.total(), 3);
        assert_eq!(metrics.exact_match(), 100.0 * 2.0 / 3.0);
        assert!((metrics.f1() - 100.0 * (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    }
}
