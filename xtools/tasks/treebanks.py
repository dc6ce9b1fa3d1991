"""Universal Dependencies as XTREME makes a tagging task of it: its treebanks by release, and one tag for each multi-word token.

XTREME and XTREME-R (google-research/xtreme, scripts/download_data.sh) take every file of a release whose name begins with the language's
code, r2.5 for XTREME's languages and r2.7 for lt pl uk wo ro; so a language is all of its treebanks, in the order of their files' names,
and no other language's. A treebank is read at the commit that carries the release's tag in its own repository. Three treebanks of r2.5 are
left out, none of whose words is published (Arabic-NYUAD, English-ESL, Japanese-BCCWJ): XTREME drops sentences of blanks. Of French-FTB,
which shows the first word of a sentence, its sentences of one word are left.

Numbers of sentences are those of each commit's stats.xml. In English they add up to the 21,253 and 3,974 of XTREME (Hu et al. 2020).
"""

from dataclasses import dataclass
from functools import partial

from xtools.tasks.entry import Hub, named

BLANK = "_"  # in place of a word that is not published
DROPPED = (" ", "\u200c")  # out of words (utils_preprocess.py, remove_empty_space): spaces and zero-width non-joiners

# ---------------------------------------------------------------- one tag for a multi-word token

# Which of several words gives its tag (third_party/ud-conversion-tools/conllu_to_conll.py, POSRANKPRECEDENCEDICT): the earliest here.
PRECEDENCE = {
    "es": "VERB AUX PRON ADP DET".split(),
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ".split(),
    "it": "VERB AUX ADV PRON ADP DET INTJ".split(),
}
DEFAULT = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT".split()
# The order of the numbers in older copies of commul/universal_dependencies, whose first label is NOUN.
UD_ORDER = tuple("NOUN PUNCT ADP NUM SYM SCONJ ADJ PART DET CCONJ PROPN PRON X _ ADV INTJ VERB AUX".split())


def tagged(row: dict, language: str) -> dict | None:
    """A sentence with each multi-word token as one word of one tag; None where its words, all or all but one, are blanks.

    `row` has the columns of xtools/sources/conllu.py. Raises ValueError where no precedence decides, as XTREME's script does.
    """
    tags = row["upos"] if all(isinstance(tag, str) for tag in row["upos"]) else named(UD_ORDER, row["upos"])
    words = [*zip(row["tokens"], tags, strict=True)]
    heads = _heads(row)
    for token in sorted(row["mwt"], key=lambda token: _span(token)[0], reverse=True):  # from the end, so that places before it stay
        span = _span(token)
        words[span[0] - 1 : span[-1]] = [(token["form"], tags[_chosen(span, tags, heads, language) - 1])]
    blanks = sum(word.strip() == BLANK for word, _ in words)
    if not words or (blanks and blanks >= len(words) - 1):
        return None
    return {"words": [_cleaned(word) for word, _ in words], "tags": [tag for _, tag in words]}


def _span(token: dict) -> range:
    """The places, from 1 on, of a multi-word token's words."""
    first, last = token["id"].split("-")
    return range(int(first), int(last) + 1)


def _heads(row: dict) -> dict[int, set]:
    """The heads of each word, in the tree and in the enhanced graph; both count in lib/conll.py (read_conll_u), empty nodes do not."""
    named = [
        [str(head), *(pair.split(":")[0] for pair in (deps or "").split("|"))] for head, deps in zip(row["head"], row["deps"], strict=True)
    ]
    return {place: {int(head) for head in heads if head.isdigit()} for place, heads in enumerate(named, 1)}


def _chosen(span: range, tags: list[str], heads: dict[int, set], language: str) -> int:
    """The word that stands for a multi-word token (lib/conll.py, _choose_spanhead_from_heuristics): the one with fewest words above it;
    of several such the first whose tag takes precedence."""
    above = {place: len(_above(place, heads)) for place in span}
    highest = [place for place in span if above[place] == min(above.values())]
    if len(highest) == 1:
        return highest[0]
    order = PRECEDENCE.get(language, DEFAULT)
    if unknown := {tags[place - 1] for place in highest} - {*order}:
        raise ValueError(f"{', '.join(sorted(unknown))} among the words of a multi-word token, where {language} has no precedence for it")
    return min(highest, key=lambda place: order.index(tags[place - 1]))


def _above(place: int, heads: dict[int, set]) -> set:
    """All from which a word is reached, the root and no word twice."""
    found: set = set()
    queue = [place]
    while queue:
        new = heads.get(queue.pop(), set()) - found
        found |= new
        queue += new
    return found - {place}


def _cleaned(word: str) -> str:
    for character in DROPPED:
        word = word.strip().replace(character, "")
    return word


# ---------------------------------------------------------------- which treebanks


@dataclass(frozen=True)
class Treebank:
    """A treebank's repository (UniversalDependencies/UD_<name>), the commit of its release, and how many sentences its splits have: 0
    where there is no such split, and in training sets that are not read."""

    name: str
    commit: str
    train: int = 0
    dev: int = 0
    test: int = 0


TREEBANKS = {
    "af_afribooms": Treebank("Afrikaans-AfriBooms", "af14c16591748b83dc5c636173491c99a8edde9c", dev=194, test=425),
    "ar_padt": Treebank("Arabic-PADT", "2ebffb95b095d70720ac661eb1a03fa1d2f5caab", dev=909, test=680),
    "ar_pud": Treebank("Arabic-PUD", "221b22ee7fee802810f247fe176e054e1f4ebe68", test=1_000),
    "bg_btb": Treebank("Bulgarian-BTB", "d27a0ccb9825a6bcc0bb618c2e3c3e91f5eef5a8", dev=1_115, test=1_116),
    "de_gsd": Treebank("German-GSD", "621d0e0754b77528834b2ba67e220fdce2133360", dev=799, test=977),
    "de_hdt": Treebank("German-HDT", "1399d9f35a28778603e2c944e533a899ed192cb9", dev=18_434, test=18_459),
    "de_lit": Treebank("German-LIT", "f9484b5c5007f49eaae01dc1ebff4dc1c980e444", test=1_922),
    "de_pud": Treebank("German-PUD", "b38c8eab917f050b08c69171e9997f65c0d996a2", test=1_000),
    "el_gdt": Treebank("Greek-GDT", "99df06ef14fdb01a52ea4e594333d14886375153", dev=403, test=456),
    "en_ewt": Treebank("English-EWT", "d66085c1146283328dd503e6cc8da64d72149131", train=12_543, dev=2_002, test=2_077),
    "en_gum": Treebank("English-GUM", "6b64f1b45da8474040880cb7ac765a25ca7d46d5", train=3_753, dev=784, test=890),
    "en_lines": Treebank("English-LinES", "a01808f53c410f4da83a85f11f3ea4c547f1e448", train=3_176, dev=1_032, test=1_035),
    "en_partut": Treebank("English-ParTUT", "4f5b3449d49926ec41557abbfba7d63860e1874b", train=1_781, dev=156, test=153),
    "en_pronouns": Treebank("English-Pronouns", "50cade31571c570327a2a097e5b3ac81a09ab35d", test=285),
    "en_pud": Treebank("English-PUD", "ebeba4581866fd1caf72b547e07c92306718a31c", test=1_000),
    "es_ancora": Treebank("Spanish-AnCora", "ec9b61297f5be543a3e5de96a6e009c949ba3409", dev=1_654, test=1_721),
    "es_gsd": Treebank("Spanish-GSD", "04871cb488b3d0338d111496bc66029fe6bb89de", dev=1_400, test=426),
    "es_pud": Treebank("Spanish-PUD", "ea846bc13258f42dd0873d203592c88ffab16004", test=1_000),
    "et_edt": Treebank("Estonian-EDT", "e031992bbf3c7a65b9dc34f9bb8e4b2906f9e9b2", dev=3_125, test=3_214),
    "et_ewt": Treebank("Estonian-EWT", "d5676f00909c88f23db2b143c09b8e5fca06309a", test=546),
    "eu_bdt": Treebank("Basque-BDT", "6adf0eb6842160a430d35e22305faa0ab2f18223", dev=1_798, test=1_799),
    "fa_seraji": Treebank("Persian-Seraji", "9d4501714aa2c12a23d138db301eecb0ee62369c", dev=599, test=600),
    "fi_ftb": Treebank("Finnish-FTB", "65609d7e40d5586977c863f923d875ca046b1e3e", dev=1_875, test=1_867),
    "fi_pud": Treebank("Finnish-PUD", "96c6c4d6c21738904a2a04cf5da6ca67a0e1783f", test=1_000),
    "fi_tdt": Treebank("Finnish-TDT", "97117935e6ee269ceace84144d752eabbb39f006", dev=1_364, test=1_555),
    "fr_fqb": Treebank("French-FQB", "361651050e578a23bf42be62fdd13de5ad5b3a35", test=2_289),
    "fr_ftb": Treebank("French-FTB", "14195e6d69f5bbf37ede37226ee955572f0145bb", dev=1_235, test=2_541),
    "fr_gsd": Treebank("French-GSD", "bc5ddff4d8a941f54cf6f2590e9a9d142bca634f", dev=1_476, test=416),
    "fr_partut": Treebank("French-ParTUT", "b7613334b3fc6b7835fb15767470ca4e45674933", dev=107, test=110),
    "fr_pud": Treebank("French-PUD", "3aee89beae2b461708a88c3a8f6b6c3f8787ec50", test=1_000),
    "fr_sequoia": Treebank("French-Sequoia", "b3e7d05e49111c231e801f8185fdef9ba7305e2e", dev=412, test=456),
    "fr_spoken": Treebank("French-Rhapsodie", "b37cf04f5e74ec85ad3de1bf17df7c6fa48c16af", dev=907, test=726),
    "he_htb": Treebank("Hebrew-HTB", "57517f0eba114b996804b3dc5f00fe36e28941d5", dev=484, test=491),
    "hi_hdtb": Treebank("Hindi-HDTB", "5668e5f8423fe1b9f134ffb43585db51bfde78b1", dev=1_659, test=1_684),
    "hi_pud": Treebank("Hindi-PUD", "6b5bb2b95178b6ead499562631466d4380ee87f9", test=1_000),
    "hu_szeged": Treebank("Hungarian-Szeged", "44bc0952240e06cab06c5d663078623c663e0ad6", dev=441, test=449),
    "id_gsd": Treebank("Indonesian-GSD", "3095a0c184b533749f875d439f1a942334db1fec", dev=559, test=557),
    "id_pud": Treebank("Indonesian-PUD", "fcbfcc4dd764ddd2207458dec45a57605dd90a52", test=1_000),
    "it_isdt": Treebank("Italian-ISDT", "4cfe9b0c853f2a6694bf410f55eae41302b0b33e", dev=564, test=482),
    "it_partut": Treebank("Italian-ParTUT", "3aee4537810d2f6cfbb768962b60399935fe704a", dev=156, test=153),
    "it_postwita": Treebank("Italian-PoSTWITA", "a87c524b8b13b6163f12027482f7fe528efdb822", dev=671, test=674),
    "it_pud": Treebank("Italian-PUD", "b8341750ecb4f0db2882d802535c98746233f723", test=1_000),
    "it_twittiro": Treebank("Italian-TWITTIRO", "e978fce1a8a48dffb246b013437d2417ae6c1a89", dev=144, test=142),
    "it_vit": Treebank("Italian-VIT", "30f999726d681ef56f9a52616a20c22f247c3954", dev=743, test=1_067),
    "ja_gsd": Treebank("Japanese-GSD", "36f0ec7782ae43a93f73d2c184a3a7944b8685f2", dev=511, test=550),
    "ja_modern": Treebank("Japanese-Modern", "4d5a16e720e932ba69d9ce2a6f01fd4da6594d17", test=822),
    "ja_pud": Treebank("Japanese-PUD", "b51e1c1a82a987b6fb1a8edc621b0b5573ad9a99", test=1_000),
    "kk_ktb": Treebank("Kazakh-KTB", "235fdec1e19935272eaa449abc4c0060e095217e", test=1_047),
    "ko_gsd": Treebank("Korean-GSD", "95c092e9c9ae5cafd1710d293df1cb5a5146e326", dev=950, test=989),
    "ko_kaist": Treebank("Korean-Kaist", "11bddb3b892980ce5d2ddebbc3897793d1d44afc", dev=2_066, test=2_287),
    "ko_pud": Treebank("Korean-PUD", "6bcf927296486f0a49b245473c1a4eb3c4a0597a", test=1_000),
    "lt_alksnis": Treebank("Lithuanian-ALKSNIS", "435d19fa65a5559f9205aac08f11f2179c377e02", dev=617, test=684),
    "lt_hse": Treebank("Lithuanian-HSE", "ab189c02644f1fd0aad772a83ff940dd7299138e", dev=55, test=55),
    "mr_ufal": Treebank("Marathi-UFAL", "dab407799a3e7536f16f5dcdb0520c2eb7499e9f", dev=46, test=47),
    "nl_alpino": Treebank("Dutch-Alpino", "527390efcda76bc55a5c425140865ae2fa030ebb", dev=718, test=596),
    "nl_lassysmall": Treebank("Dutch-LassySmall", "882e0559c0333d1a61cc9339550b962c04aa6b20", dev=676, test=875),
    "pl_lfg": Treebank("Polish-LFG", "8210f1414f46108264acae664f946ba5f101bef7", dev=1_745, test=1_727),
    "pl_pdb": Treebank("Polish-PDB", "ce3e454594b15e76e58c839d0cd240c535a2ee94", dev=2_215, test=2_215),
    "pl_pud": Treebank("Polish-PUD", "5d42992897b57b7bbcba8315d175ebecf89b78e1", test=1_000),
    "pt_bosque": Treebank("Portuguese-Bosque", "ed5b4aa7d10ffa0f3387db73918fa12faeb5b27c", dev=560, test=477),
    "pt_gsd": Treebank("Portuguese-GSD", "c804ebff6d39992f815feeb70cc123d14e9f1887", dev=1_210, test=1_204),
    "pt_pud": Treebank("Portuguese-PUD", "b18de79f1ca81156783d1f030d33d3e630972694", test=1_000),
    "ro_nonstandard": Treebank("Romanian-Nonstandard", "0ee5b292129d048d6fab21ef10c95961882c3939", dev=1_052, test=1_052),
    "ro_rrt": Treebank("Romanian-RRT", "9b5f1d066aed7f6ed4c67a58eeed5319edbfcc28", dev=752, test=729),
    "ro_simonero": Treebank("Romanian-SiMoNERo", "3e0126d48fc6dc5f8ea169a6079352ae439454fa", dev=443, test=491),
    "ru_gsd": Treebank("Russian-GSD", "0b94122dd6903fb475052518c09ad0ff81aa6363", dev=579, test=601),
    "ru_pud": Treebank("Russian-PUD", "b2df73fdd3b46cd4c1687299cc0f490fe9bed648", test=1_000),
    "ru_syntagrus": Treebank("Russian-SynTagRus", "de62ad531ce770b026b5dd97d82911810d45ba95", dev=6_584, test=6_491),
    "ru_taiga": Treebank("Russian-Taiga", "e8c6a9e909dcb910c19cae3e8076f57259161c2a", dev=945, test=884),
    "ta_ttb": Treebank("Tamil-TTB", "72191c515a0cb52c703bebc02b92aef9b7f5a0ea", dev=80, test=120),
    "te_mtg": Treebank("Telugu-MTG", "c5815df4911d44c317d2f8122895885e9c580fbb", dev=131, test=146),
    "th_pud": Treebank("Thai-PUD", "36e89e1597105360fef0530ab9935575f55bead3", test=1_000),
    "tl_trg": Treebank("Tagalog-TRG", "5affdf35eea54f5ee708a8d178c7481fe24a7fe1", test=55),
    "tr_gb": Treebank("Turkish-GB", "93efefc9f725cf8e79e322d36ff71ea79747fe84", test=2_802),
    "tr_imst": Treebank("Turkish-IMST", "a6c955305ff049f2504ce5ed644ca883b5c3002f", dev=988, test=983),
    "tr_pud": Treebank("Turkish-PUD", "87d27a05c4cbd664cab20995a58f0d9e748983c1", test=1_000),
    "uk_iu": Treebank("Ukrainian-IU", "b926f857a603e7e94ad02468032a6f080161a221", dev=672, test=892),
    "ur_udtb": Treebank("Urdu-UDTB", "98e7a5e8618b246d6d2c035a5630b06b1f5c1a27", dev=552, test=535),
    "vi_vtb": Treebank("Vietnamese-VTB", "0edef6d63df949aea0494c6d4ff4f91bb1959019", dev=800, test=800),
    "wo_wtb": Treebank("Wolof-WTB", "466e699c8478775630eba4abf81db2c0d6fa5c58", dev=449, test=470),
    "yo_ytb": Treebank("Yoruba-YTB", "24b2be6c61a0b86929e190c91f9c77a09c11eeea", test=100),
    "zh_cfl": Treebank("Chinese-CFL", "bbc045cdc1e1b3674f9495bca8dd50167e6e50a4", test=451),
    "zh_gsd": Treebank("Chinese-GSD", "bbb6bd67daad80b01a091cd983b90e658f8388e1", dev=500, test=500),
    "zh_gsdsimp": Treebank("Chinese-GSDSimp", "fa063b1fae7def8e128b0c8300e6eafdff5917b1", dev=500, test=500),
    "zh_hk": Treebank("Chinese-HK", "182cd1d8536ee6f4dc2c81ee38124d2ba31a7a53", test=1_004),
    "zh_pud": Treebank("Chinese-PUD", "94698ec93df88d4c63da3eb4f5251db52ee3dc2e", test=1_000),
}
SHOWN = {"fr_ftb": {"dev": 1, "test": 12}}  # sentences that are left of a treebank without words, as counted in its files
LANGUAGES = tuple(dict.fromkeys(treebank.split("_")[0] for treebank in TREEBANKS))


def parts(split: str) -> tuple[Hub, ...]:
    """The Hub entries of a split: a file for each treebank that has one, read from GitHub at its release.

    A folder may hold commul/universal_dependencies instead, whose columns say the same; on the Hub it is known with later releases alone.
    """
    return tuple(_part(file, treebank, split) for file, treebank in TREEBANKS.items() if getattr(treebank, split))


def _part(file: str, treebank: Treebank, split: str) -> Hub:
    language = file.split("_")[0]
    n, shown = getattr(treebank, split), SHOWN.get(file, {}).get(split)
    common = {"row": partial(tagged, language=language), "rows": n, "examples": shown, "only": (language,)}
    copy = Hub("commul/universal_dependencies", file, "dev|validation" if split == "dev" else split, **common)
    repo, path = f"UniversalDependencies/UD_{treebank.name}", f"{file}-ud-{split}.conllu"
    return Hub(repo, path, split, revision=treebank.commit, reader="conllu", copy=copy, **common)
