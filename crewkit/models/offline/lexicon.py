"""Lists of English words. Everything that the offline model knows of a language stands here."""

from __future__ import annotations


def listed(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


STOP_WORDS = frozenset(
    listed("""
    a about after all also an and any are as at be because been before being between both but by can
    could did do does doing done each every few for from further had has have having he her here hers
    him his how i if in into is it its itself just me more most my no nor not now of off on once only or
    other our ours out over own per please same she should so some such than that the their theirs them
    then there these they this those through to too under until up upon us very was we were what when
    where which while who whom whose why will with within without would you your yours tell give let say
    s t
    """)
)

INSTRUCTIONS = frozenset(
    listed("""
    answer answers check collect compare compute create describe determine document documents explain
    extract file files find folder gather get identify input inputs item items keep line lines list look
    make name provide read report result results return search sentence sentences show source sources
    state summarise summarize task text tool tools use using work write brief short given following based
    exactly about important fact facts main key point points thing things summary content contents
    information matter matters passage passages digest quote quotes cite citation citations overview
    """)
)
"""Words that say what to do rather than what it is about."""

NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        listed("""
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
        sixteen seventeen eighteen nineteen twenty
        """)
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "hundred": 100}

MONTHS = listed("january february march april may june july august september october november december")

SEE = listed(
    "list enumerate scan discover browse walk glob index ingest load import catalog ls tree describe schema"
)
SEEK = listed("search find query recall lookup locate retrieve match grep filter")
READ = listed("read fetch get open view download show extract parse cat")
"""Verbs in the names of tools, by what comes before what."""

TALK = listed("""
    ask delegate message notify tell send handoff hand escalate reply note think remember save log consult
    contact forget delete remove
    """)
"""Verbs in the names of tools that are called only where the task itself uses them."""

PROSE_NAMES = listed("""
    point claim finding answer description detail highlight insight sentence observation takeaway evidence
    output report reply response news reason why rationale explanation justification message abstract
    overview conclusion
    """)
"""Names of fields that want sentences."""

VAGUE = listed("unknown other neutral none unclear mixed unsure general misc n/a na")
"""Classes that claim nothing."""

DENIALS = listed("""
    not no never none without fail failed fails failing error missing wrong invalid reject rejected denied
    cannot isn doesn didn won unapproved unsafe
    """)

APPROVALS = listed("""
    approved approve ok okay valid safe passed pass accepted accept correct complete success successful
    verified confirmed
    """)
"""Names and words that claim success, which takes evidence."""

CLASSES = tuple(
    listed(line)
    for line in """
    positive good great excellent love loved happy thanks thank perfect wonderful fantastic enjoy best
    negative bad terrible awful hate angry broken worst disappointed poor slow crash rude never fail useless
    urgent immediately asap outage down emergency critical blocked now production
    high urgent immediately asap outage down emergency critical blocked severe
    critical outage down emergency breach lost
    low whenever minor cosmetic typo someday suggestion
    billing charged charge invoice payment pay paid refund subscription price card bill
    payment charged charge invoice paid refund card
    technical error crash bug broken install server timeout fails exception
    bug error crash broken wrong fails exception
    account login password username profile email sign
    shipping delivery deliver package parcel arrived courier shipment tracking late
    delivery deliver package parcel arrived courier shipment tracking
    sales buy purchase pricing demo discount
    feature wish add support suggestion idea request
    refund money back return charged
    complaint disappointed unhappy angry unacceptable
    praise thanks great excellent love
    spam winner prize lottery click free
    true yes correct confirmed
    false no incorrect wrong
    """.strip().splitlines()
)
"""A class and words that speak for it, for tasks that do not explain their classes."""
