//! Answers one question with the library and checks the answer.

use cloze::{AnswerOptions, Cancel, Cpu, Device, QuestionAnswering};

fn main() -> cloze::Result<()> {
    let qa = QuestionAnswering::embedded(Device::Cpu(Cpu::new(0)))?;
    let context = "Sea otters 🦦 sleep on their backs, wrapped in kelp so that they do not drift away.";
    let question = "What are sea otters wrapped in?";
    let answers = cloze::block_on(qa.answer(question, context, &AnswerOptions::default(), &Cancel::new()))?;
    let best = &answers[0];
    assert_eq!(&context[best.start..best.end], best.text, "offsets are byte ranges of the context");
    assert_eq!(best.text, "kelp");
    println!("{question} {} ({:.3})", best.text, best.score);
    Ok(())
}
