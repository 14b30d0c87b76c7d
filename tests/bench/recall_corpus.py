"""A small labelled set: documents, talks, and questions whose answers' places are known."""

HANDBOOK = """# Harbour Museum staff handbook

## Opening hours

The galleries open at ten and close at six from Tuesday to Sunday. On Mondays only school groups with a booking
are let in.

On the last Thursday of each month the doors stay open until nine in the evening, and admission is free after five.

## Tickets

A full ticket costs fourteen euros. Pensioners and students pay nine, children under twelve nothing.

Refunds are given at the desk until the visitor has passed the turnstile; afterwards only the duty manager may
grant one.

Season passes are personal. A lost pass is replaced once, for four euros, when its holder shows an identity card.

## Security

Every guard carries a radio on channel seven. The word "lantern" spoken twice means that a visitor is hurt and the
first-aid team must come.

If smoke is detected, the fire doors on the ground floor close by themselves after forty seconds. Staff lead
everyone to the meadow behind the boathouse.

Bags larger than a sheet of A3 paper go into the lockers. Umbrellas may be carried if they are dry.

## The collection

The oldest object is a dugout canoe of about 3200 BC, found when the lock basin was dredged.

The figurehead of the brig Amalia may not be lit with more than fifty lux, because its paint fades.

Loans to other houses need the signatures of the curator and of the insurer at least eight weeks ahead.

## Cleaning

Glass cases are wiped with distilled water only. Ammonia has ruined two of them.

The wooden floors in the west wing are waxed in January, when the wing is closed for eleven days.
"""

PUMPS = """# Bilge pump BX-40: maintenance

## Safety

Pull the mains plug and wait two minutes before opening the housing; the capacitor keeps its charge.

## Weekly

Empty the strainer basket. A clogged basket is the cause of nine calls in ten to our service line.

Listen to the bearings. A grinding sound means water has got past the shaft seal.

## Yearly

Change the impeller, part number BX-4017. Grease the new one with silicone paste, never with mineral oil, which
swells the rubber.

Check the float switch by lifting it with a dry stick. The motor must start within one second.

## Faults

| code | meaning | remedy |
|---|---|---|
| E03 | motor too hot | let it cool for half an hour, clear the intake |
| E07 | no current from the float switch | replace the cable |
| E11 | supply voltage too low | use a shorter extension lead |

If the pump runs but moves no liquid, the line has drawn air. Fill the housing through the priming plug and close
it while water still overflows.

## Storage

Drain the machine before winter. Ice cracks the volute, and cracked volutes are not covered by the guarantee.

## Guarantee

We repair or exchange the unit free of charge for thirty-six months from purchase, if the seal on the motor is whole.
"""

BEES = """# Keeping bees on the roof

## Why the roof

Up there the animals are not disturbed, and the lime trees along the canal flower at the same height.

Wind is the enemy. A hedge of bamboo in tubs on the west side halves its speed.

## The year

In February weigh the hives by tilting them. A box that lifts easily needs fondant at once.

Swarms leave in May, mostly around noon after rain. Give the colony a second brood box before it feels crowded.

The honey is taken in July. Leave at least fifteen kilograms for each colony.

In autumn the entrances are narrowed so that mice cannot creep in.

## Illness

Brown, stringy remains in the cells point to foulbrood. The law obliges you to call the district veterinarian.

Mites are counted on a white board beneath the comb. More than ten in a day call for treatment with formic acid.

## Neighbours

Tell the house before you begin. Two jars for every flat at Christmas have settled more quarrels than any contract.

A child was stung in 2024 and had to be taken to hospital; since then an adrenaline pen hangs beside the hatch.

## Money

A hive with its people costs about 350 euros. In the third year the sale of honey covers the costs.
"""

NETWORK = """# Runbook: the branch office network

## Overview

Traffic leaves through a fibre line with 500 megabits. A mobile router takes over within twenty seconds when it fails.

## Names and addresses

Printers live in 10.4.8.0/24, telephones in 10.4.9.0/24. Nothing else may be put there.

The resolver caches answers for five minutes. Changes to records are therefore never visible at once.

## Backups

Each night at two the file server is copied to the vault in Tampere. Copies are kept for ninety days.

A restore is rehearsed every quarter. The last rehearsal took fifty minutes, of which thirty went by searching for
the passphrase.

## Incidents

In March the switch in room B2 looped because someone plugged both ends of one cable into it. Spanning tree is now on.

Telephones went dead in June. A certificate had expired; reminders now go to two people, sixty days ahead.

When people say that the internet is slow, look at the proxy's queue first. More than two hundred waiting requests
mean that its disk is full.

## Access

Contractors get an account that ends by itself after fourteen days. Nobody shares passwords, not even for an hour.

Lost laptops are wiped from the console. Do it before you tell the police, and write down the time.
"""

DOCUMENTS = {
    "handbook.md": HANDBOOK,
    "pumps.md": PUMPS,
    "bees.md": BEES,
    "network.md": NETWORK,
}

TALKS = {
    "planning": [
        ("Marta", "2026-02-03T10:00:00Z", "Shall we talk about the summer exhibition?"),
        ("Jonas", "2026-02-03T10:01:00Z", "Yes. I would love to show the whaling maps for once."),
        ("Marta", "2026-02-03T10:02:00Z", "They are at the restorer until the end of June, I am afraid."),
        ("Jonas", "2026-02-03T10:03:00Z", "Then the diving suits. The 1890 one weighs eighty kilos."),
        ("Ines", "2026-02-03T10:04:00Z", "How much is left for it in this year's plan?"),
        ("Marta", "2026-02-03T10:05:00Z", "Twenty-two thousand, after the roof."),
        ("Ines", "2026-02-03T10:06:00Z", "I can ask the shipyard to sponsor the catalogue again."),
        ("Jonas", "2026-02-03T10:07:00Z", "Who is going to write it?"),
        ("Ines", "2026-02-03T10:08:00Z", "My sister. She has just finished her thesis on salvage."),
    ],
    "lunch": [
        ("Jonas", "2026-03-12T12:00:00Z", "I have started swimming in the mornings, at the old baths."),
        ("Ines", "2026-03-12T12:01:00Z", "In this cold! I stay with my pottery class."),
        ("Jonas", "2026-03-12T12:02:00Z", "What do you make there?"),
        ("Ines", "2026-03-12T12:03:00Z", "Ugly bowls, mostly. One of them exploded in the kiln."),
        ("Marta", "2026-03-12T12:04:00Z", "My son has moved to Ghent to study medicine."),
        ("Jonas", "2026-03-12T12:05:00Z", "When will you visit him?"),
        ("Marta", "2026-03-12T12:06:00Z", "Over Easter, by night train."),
        ("Ines", "2026-03-12T12:07:00Z", "I am allergic to fish, so no more canteen on Fridays for me."),
    ],
    "incident": [
        ("Ines", "2026-05-20T08:00:00Z", "The cellar is under water again."),
        ("Jonas", "2026-05-20T08:01:00Z", "Has the pump stopped?"),
        ("Ines", "2026-05-20T08:02:00Z", "It hums, but nothing comes out of the hose."),
        ("Marta", "2026-05-20T08:03:00Z", "I have called Koskinen, they can be here by noon."),
        ("Jonas", "2026-05-20T08:04:00Z", "I carried the ledgers of 1911 up to the attic."),
        ("Marta", "2026-05-20T08:05:00Z", "Thank you. The insurer wants photographs."),
        ("Ines", "2026-05-20T08:06:00Z", "I took thirty, they are in the shared folder."),
    ],
}

QUESTIONS = [
    ("Until when is the museum open late once a month?", "nine in the evening"),
    ("What does it cost for a pensioner to get in?", "A full ticket costs"),
    ("Who decides whether someone who is already inside gets their money back?", "duty manager"),
    ("I have mislaid my season pass, what now?", "A lost pass is replaced"),
    ("What is the code word for an injured visitor?", "lantern"),
    ("Where do people gather in case of fire?", "meadow behind the boathouse"),
    ("May visitors bring a wet umbrella?", "Umbrellas may be carried"),
    ("What is the most ancient thing on show?", "dugout canoe"),
    ("How bright may the Amalia be illuminated?", "fifty lux"),
    ("How early must a loan be approved?", "eight weeks ahead"),
    ("Which cleaning agent damages the display cases?", "Ammonia has ruined"),
    ("When is the west wing closed?", "waxed in January"),
    ("Why wait before opening the pump?", "capacitor keeps its charge"),
    ("What is the most frequent reason for service calls?", "clogged basket"),
    ("What does a grinding noise tell?", "past the shaft seal"),
    ("Which lubricant must not touch the impeller?", "mineral oil"),
    ("BX-4017", "part number BX-4017"),
    ("What does error E07 mean?", "E07"),
    ("The pump is running without pumping anything, what can I do?", "priming plug"),
    ("Is frost damage covered?", "Ice cracks the volute"),
    ("How many years does the warranty last?", "thirty-six months"),
    ("How are the hives protected from gusts?", "hedge of bamboo"),
    ("How do I see whether a colony is short of food after winter?", "needs fondant"),
    ("At which time of the day do bees swarm?", "mostly around noon"),
    ("How much honey should stay in the hive?", "fifteen kilograms"),
    ("How are rodents kept out?", "mice cannot creep in"),
    ("Which disease has to be reported to the authorities?", "district veterinarian"),
    ("When do parasites have to be treated?", "formic acid"),
    ("Why is there an emergency medicine near the roof hatch?", "A child was stung"),
    ("When does beekeeping pay for itself?", "In the third year"),
    ("What happens when the fibre connection breaks?", "mobile router takes over"),
    ("Which subnet are the phones in?", "10.4.9.0/24"),
    ("Why is a DNS change not seen immediately?", "caches answers for five minutes"),
    ("How long are nightly copies stored?", "kept for ninety days"),
    ("What caused the outage of the switch?", "both ends of one cable"),
    ("Why did the phones stop working in June?", "certificate had expired"),
    ("What should be done about a stolen notebook computer?", "wiped from the console"),
    ("What did Jonas want to exhibit at first?", "whaling maps"),
    ("How much money is left for the summer exhibition?", "Twenty-two thousand"),
    ("Who will write the catalogue?", "My sister."),
    ("What is Jonas' new sport?", "swimming in the mornings"),
    ("What went wrong in Ines' pottery class?", "exploded in the kiln"),
    ("What does Marta's son study?", "study medicine"),
    ("When will Marta go to see her son?", "Over Easter"),
    ("Why does Ines avoid the canteen on Fridays?", "allergic to fish"),
    ("What did Jonas save from the flood in May?", "ledgers of 1911"),
    ("Who was called to repair the pump in the cellar?", "called Koskinen"),
    ("What evidence does the insurance company ask for?", "insurer wants photographs"),
]
"""What is asked, and a stretch of text that stands in the one passage that answers it."""
