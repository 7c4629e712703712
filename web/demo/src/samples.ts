/**
 * Texts to try, each with questions that it answers. All but the last were written for this page; letter, lease and
 * news are invented, and so are their people.
 */

export interface Sample {
  id: string;
  title: string;
  /** Where it is from, if it was not written here. */
  source?: string;
  questions: readonly string[];
  /** Its text, or where it lies beside the page. */
  text: string | { path: string };
}

export async function textOf({ title, text }: Sample): Promise<string> {
  if (typeof text === 'string') return text;
  const response = await fetch(text.path);
  if (!response.ok) throw new Error(`${title} cannot be fetched (status ${response.status}).`);
  return response.text();
}

export const SAMPLES: readonly Sample[] = [
  {
    id: 'ada',
    title: 'Ada Lovelace',
    questions: ['What is the last note often called?', 'Who wrote the article about the machine?', 'When did Ada die?'],
    text: `Ada Lovelace was born in London on 10 December 1815, the only child of the poet Lord Byron and Lady Byron. \
Her parents parted a month later, and she never saw her father again. Her mother, who feared the moods of poets, had \
her taught mathematics from the age of four.

At seventeen she met Charles Babbage, who showed her a small working piece of his Difference Engine. Others at the \
party looked at it as one looks at a toy; she asked for the drawings. Their correspondence about a far larger machine, \
the Analytical Engine, lasted for almost twenty years.

In 1843 she translated an article by the engineer Luigi Menabrea about that machine. To the translation she added \
seven notes, marked A to G, which together are three times as long as the article itself. The last of them lays out, \
step by step, how the engine would compute the Bernoulli numbers, and is often called the first published program. In \
the first note she went further than Babbage ever did: a machine that handles symbols, she wrote, need not stop at \
numbers, and might one day compose elaborate pieces of music.

The Analytical Engine was never built. Ada Lovelace died of cancer on 27 November 1852, at the age of thirty-six, and \
was buried, as she had asked, beside her father in the church at Hucknall.`,
  },
  {
    id: 'twilight',
    title: 'The twilight zone',
    questions: [
      'Where does the pigment in its eyes come from?',
      'How deep is the twilight zone?',
      'What colour is gone after fifteen metres?',
    ],
    text: `Between two hundred and one thousand metres below the surface lies the part of the ocean that is called the \
twilight zone. Some light still reaches it, too little for plants to grow and just enough to be seen by. It is blue, \
since water swallows every other colour on the way down: red is gone after fifteen metres, yellow after fifty.

Nine in ten of the animals that live here make light themselves. The reasons differ. The hatchetfish has lamps along \
its belly and dims or brightens them until it matches the glow from above, so that a hunter below sees no shadow. The \
anglerfish dangles a lure full of shining bacteria before its mouth. Small crustaceans spit out a glowing cloud when \
they are attacked, and leave while the attacker looks at it.

One hunter has found a private channel. The stoplight loosejaw carries lamps under its eyes that shine red, a colour \
that almost nothing down here can see. It sees it well, and so moves through the dark with a searchlight that nobody \
notices. The pigment in its eyes that makes this possible comes, of all things, from chlorophyll: it is eaten by \
copepods at the surface, and reaches the fish by way of everything that eats copepods.

Every night the zone empties. At dusk some ten billion tonnes of animals swim up to feed, and before dawn they sink \
back again. It is the largest migration on Earth, and it happens every day. In the Second World War, sailors who \
listened for submarines took the layer of rising fish for the sea floor, and wrote down depths that were wrong by \
hundreds of metres.`,
  },
  {
    id: 'letter',
    title: 'A letter from the clinic',
    questions: ['Which medicine was stopped?', 'What was her blood pressure?', 'When will she be seen again?'],
    text: `Northfield Clinic, Department of Cardiology
To: Dr H. Okafor, General Practice, 12 Mill Lane
About: Mrs Edith Marlow, born 3 February 1951

Dear Dr Okafor,

Thank you for sending us Mrs Marlow, whom we saw as an outpatient on 14 May. She reports that for six weeks she has \
been short of breath when she climbs stairs, and that her ankles are swollen in the evening. She has no chest pain. \
She has had hypertension since 2009 and type 2 diabetes since 2016.

On examination her blood pressure was 162 over 94, her pulse 78 and regular. There was mild oedema of both ankles. The \
electrocardiogram showed sinus rhythm with signs of left ventricular hypertrophy. On echocardiography the ejection \
fraction was 52 per cent, with impaired relaxation of the left ventricle and no valve disease that matters.

We think that this is heart failure with preserved ejection fraction, made worse by amlodipine, which causes oedema of \
its own. We have stopped amlodipine. Please raise ramipril from 5 mg to 10 mg once a day, and start furosemide 20 mg \
in the morning. Potassium and creatinine should be checked after ten days; if potassium exceeds 5.5 mmol/l, go back to \
5 mg of ramipril and call us.

We will see Mrs Marlow again on 2 July. She knows that she should weigh herself every morning and call if she gains \
more than two kilograms in three days.

With kind regards,
Dr Solveig Aune, Consultant Cardiologist`,
  },
  {
    id: 'lease',
    title: 'A lease',
    questions: ['How long is the notice period?', 'What is the deposit?', 'How many euros is the monthly rent?'],
    text: `LEASE between Brandt & Daughters Property Ltd ("the Landlord") and Tomas Ferreira ("the Tenant")

1. Premises. The Landlord lets to the Tenant the flat on the second floor, left, of 48 Harbour Street, with two rooms, \
a kitchen, a bathroom, and cellar compartment number 7.

2. Term. The lease begins on 1 September 2025 and runs for an indefinite time. Either party may end it in writing. The \
notice period is three months to the end of a month for the Tenant, and six months for the Landlord once the lease has \
lasted for five years.

3. Rent. The monthly rent is 940 euros, payable in advance by the third working day of each month. In addition the \
Tenant pays 145 euros a month towards heating and running costs, which are settled once a year. Rent that is more than \
ten days late bears interest of five per cent a year.

4. Deposit. Before moving in the Tenant pays a deposit of two months' rent. The Landlord keeps it apart from its own \
money and returns it with interest no later than sixty days after the keys have been given back, less what is owed.

5. Repairs. The Landlord keeps the building, the boiler and all pipes in order. The Tenant bears small repairs up to \
80 euros each and 250 euros a year. Damage must be reported without delay; the Tenant is liable for what follows from \
a late report.

6. Subletting and animals. A room may be sublet with the Landlord's consent, which may be refused only for good \
reason. Cats and small animals are allowed. Dogs need consent in each case.

7. Access. The Landlord may enter the flat with at least 48 hours' notice, between nine in the morning and seven in \
the evening, and without notice only where there is danger.`,
  },
  {
    id: 'bridge',
    title: 'The bridge reopens',
    questions: ['Who crossed the bridge first?', 'How much did the repair cost?', 'When was the bridge closed?'],
    text: `SANDHAVEN, Thursday. After nineteen months of work the Old Swing Bridge opened again this morning, eleven \
weeks later than planned. The first to cross was not the mayor but Mrs Ines Calder, 91, whose father had tended the \
bridge from 1938 until he retired. She was pushed across in a wheelchair by two of the welders, to the applause of \
some four hundred people.

The bridge was closed in April of last year, when divers on a routine inspection found cracks in the cast-iron ring on \
which the middle span turns. For a time the council considered a fixed bridge in its place. It would have been \
cheaper, but would have cut off the boatyard upstream and its sixty jobs, and a petition against it gathered nine \
thousand names.

The repair has cost 6.4 million, a third more than the first estimate. The council blames the price of steel; the \
contractor, Hallam Marine, says that no drawings of the foundations existed and that the piers had to be surveyed from \
scratch. Two thirds of the sum come from the national heritage fund, and the rest from the harbour dues.

Ships can pass twice a day, at half past six in the morning and at half past seven in the evening. Heavy lorries must \
still go round by the ring road, at least until a load test in March. "It moves like it did when I was six," said Mrs \
Calder. "Only the noise has gone, and I rather miss the noise."`,
  },
  {
    id: 'time-machine',
    title: 'The Time Machine',
    source: 'H. G. Wells, 1895, chapter I; in the public domain',
    questions: ['Where did Professor Newcomb speak?', 'Who has red hair?', 'What is Time?'],
    text: { path: './time-machine.txt' },
  },
];
