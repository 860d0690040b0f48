"""Small programs that use the library as its users do, and what each must answer: ``name: (code, expected)``."""

PROBES = {
    "public_names": (
        "import parsimonious as p\n"
        "names = 'Grammar TokenGrammar NodeVisitor rule ParseError IncompleteParseError VisitationError UndefinedLabel'\n"
        "result = [hasattr(p, name) for name in (names + ' BadGrammar').split()]",
        [True] * 9,
    ),
    "tree_is_printed_as_before": (
        "from parsimonious import Grammar\n"
        "g = Grammar('''pair = key ':' value\nkey = ~'[a-z]+'\nvalue = ~'[0-9]+' / 'none' ''')\n"
        "result = str(g.parse('ä:1'.replace('ä', 'a')))",
        '<Node called "pair" matching "a:1">\n    <RegexNode called "key" matching "a">\n    <Node matching ":">\n'
        '    <Node called "value" matching "1">\n        <RegexNode matching "1">',
    ),
    "expression_repr_is_its_str": (
        "from parsimonious.expressions import Literal, OneOf, Sequence\n"
        "e = Sequence(OneOf(Literal('ö'), Literal('b')), Literal('c', name='sea'), name='top')\n"
        "result = [str(e), repr(e), e.as_rule()]",
        ['<Sequence top = ("ö" / "b") sea>', '<Sequence top = ("ö" / "b") sea>', 'top = ("ö" / "b") sea'],
    ),
    "token_repr": (
        "from parsimonious.utils import Token\nt = Token('größe')\nresult = [str(t), repr(t), t == Token('größe')]",
        ['<Token "größe">', '<Token "größe">', True],
    ),
    "parse_error_message": (
        "from parsimonious import Grammar, ParseError\n"
        "g = Grammar('''a = 'x' b\nb = 'ß' ''')\n"
        "try:\n    g.parse('xé')\n"
        "except ParseError as error:\n"
        "    result = [str(error), repr(error), error.pos, error.line(), error.column(), error.expr.name]",
        [
            "Rule 'b' didn't match at 'é' (line 1, column 2).",
            "Rule 'b' didn't match at 'é' (line 1, column 2).",
            1, 1, 2, "b",
        ],
    ),
    "unnamed_expression_in_an_error": (
        "from parsimonious import ParseError\nfrom parsimonious.expressions import Literal\n"
        "try:\n    Literal('yes').parse('no')\nexcept ParseError as error:\n    result = str(error)",
        "Rule <Literal \"yes\"> didn't match at 'no' (line 1, column 1).",
    ),
    "incomplete_parse": (
        "from parsimonious import Grammar, IncompleteParseError, ParseError\n"
        "try:\n    Grammar('a = \"x\"').parse('xyz')\n"
        "except IncompleteParseError as error:\n    result = [isinstance(error, ParseError), str(error)]",
        [
            True,
            "Rule 'a' matched in its entirety, but it didn't consume all the text. The non-matching portion of the "
            "text begins with 'yz' (line 1, column 2).",
        ],
    ),
    "undefined_label": (
        "from parsimonious import BadGrammar, Grammar, UndefinedLabel\n"
        "try:\n    Grammar('a = b')\nexcept UndefinedLabel as error:\n"
        "    result = [isinstance(error, BadGrammar), str(error), repr(error)]",
        [True, 'The label "b" was never defined.', 'The label "b" was never defined.'],
    ),
    "rule_decorator_builds_the_grammar": (
        "from parsimonious import NodeVisitor, rule\n"
        "class Sum(NodeVisitor):\n"
        "    @rule('number plus*')\n"
        "    def visit_sum(self, node, parts):\n        return parts[0] + sum(parts[1] or [])\n"
        "    @rule('\"+\" number')\n"
        "    def visit_plus(self, node, parts):\n        return parts[1]\n"
        "    @rule('~\"[0-9]+\"')\n"
        "    def visit_number(self, node, parts):\n        return int(node.text)\n"
        "    def generic_visit(self, node, parts):\n        return parts\n"
        "result = [Sum().parse('1+20+300'), sorted(Sum.grammar), Sum.grammar.default_rule.name]",
        [321, ["number", "plus", "sum"], "sum"],
    ),
    "visitors_without_a_grammar_say_so": (
        "from parsimonious import NodeVisitor\n"
        "class Empty(NodeVisitor):\n    pass\n"
        "try:\n    Empty().parse('x')\nexcept RuntimeError as error:\n    result = str(error)[:53]",
        "The Empty.parse() shortcut won't work because Empty w",
    ),
    "visitation_error": (
        "import traceback\nfrom parsimonious import Grammar, NodeVisitor, VisitationError\n"
        "class Bad(NodeVisitor):\n"
        "    grammar = Grammar('a = \"x\"')\n"
        "    def visit_a(self, node, parts):\n        raise KeyError('lost')\n"
        "try:\n    Bad().parse('x')\nexcept VisitationError as error:\n"
        "    frames = [frame.name for frame in traceback.extract_tb(error.__cause__.__traceback__)]\n"
        "    result = [str(error), error.original_class.__name__, type(error.__cause__).__name__, frames[-1]]",
        [
            "KeyError: 'lost'\n\nParse tree:\n<Node called \"a\" matching \"x\">  <-- *** We were here. ***",
            "KeyError", "KeyError", "visit_a",
        ],
    ),
    "nested_visitation_errors_are_wrapped_once": (
        "from parsimonious import Grammar, NodeVisitor, VisitationError\n"
        "class Bad(NodeVisitor):\n"
        "    grammar = Grammar('''a = b 'y'\nb = 'x' ''')\n"
        "    def visit_b(self, node, parts):\n        raise ValueError('deep')\n"
        "    def generic_visit(self, node, parts):\n        return parts\n"
        "try:\n    Bad().parse('xy')\nexcept VisitationError as error:\n"
        "    result = [type(error.__cause__).__name__, str(error).count('Parse tree:')]",
        ["ValueError", 1],
    ),
    "unwrapped_exceptions_pass": (
        "from parsimonious import Grammar, NodeVisitor\n"
        "class Bad(NodeVisitor):\n"
        "    grammar = Grammar('a = \"x\"')\n    unwrapped_exceptions = (LookupError,)\n"
        "    def visit_a(self, node, parts):\n        raise KeyError('lost')\n"
        "try:\n    Bad().parse('x')\nexcept KeyError as error:\n    result = [repr(error), error.__cause__ is None]",
        ["KeyError('lost')", True],
    ),
    "custom_rules_of_two_and_five": (
        "from parsimonious import Grammar\n"
        "def five(text, pos, cache, error, grammar):\n"
        "    return grammar['digit'].match_core(text, pos, cache, error)\n"
        "g = Grammar('''all = two five\ndigit = ~'[0-9]' ''', two=lambda text, pos: pos + 2, five=five)\n"
        "result = [g.parse('ab7').end, repr(g['two']), repr(g['five'])]",
        [
            3,
            '<AdHocExpression two = {custom function "<lambda>"}>',
            '<AdHocExpression five = {custom function "five"}>',
        ],
    ),
    "custom_rule_with_children": (
        "from parsimonious import Grammar\nfrom parsimonious.nodes import Node\n"
        "g = Grammar('all = two', two=lambda text, pos: (pos + 2, [Node(None, text, pos, pos + 1)]))\n"
        "result = [len(g.parse('ab').children), g.parse('ab').children[0].text]",
        [1, "a"],
    ),
    "custom_rule_that_does_not_match": (
        "from parsimonious import Grammar, ParseError\n"
        "try:\n    Grammar('all = no', no=lambda text, pos: None).parse('ab')\n"
        "except ParseError as error:\n    result = error.expr.name",
        "no",
    ),
    "bound_methods_are_custom_rules": (
        "from parsimonious import Grammar\n"
        "class Rules:\n"
        "    step = 2\n"
        "    def short(self, text, pos):\n        return pos + self.step\n"
        "    def long(self, text, pos, cache, error, grammar):\n        return pos + self.step\n"
        "    @classmethod\n"
        "    def kind(cls, text, pos):\n        return pos + cls.step\n"
        "r = Rules()\n"
        "g = Grammar('all = one two three', one=r.short, two=r.long, three=r.kind)\n"
        "result = g.parse('abcdef').end",
        6,
    ),
    "annotated_functions_are_custom_rules": (
        "from parsimonious import Grammar\n"
        "def two(text: str, pos: int) -> int:\n    return pos + 1\n"
        "result = Grammar('all = two', two=two).parse('a').end",
        1,
    ),
    "other_numbers_of_arguments_are_refused": (
        "from parsimonious import Grammar\n"
        "class Rules:\n    def four(self, text, pos, cache, error):\n        return pos\n"
        "result = []\n"
        "for bad in (lambda text: 0, lambda a, b, c: 0, Rules().four):\n"
        "    try:\n        Grammar('all = bad', bad=bad)\n"
        "    except RuntimeError as error:\n        result.append(str(error)[-8:])",
        [", not 1.", ", not 3.", ", not 4."],
    ),
    "a_grammar_s_repr_makes_it_again": (
        "from parsimonious import Grammar\n"
        "texts = ['a = \"x\"', 'a = b \"ö\"\\nb = (\"1\" / \"2\")+', 'a = \"it\\'s\" ~\"[a-z]+\"i', '']\n"
        "grammars = [Grammar(text) for text in texts]\n"
        "again = [eval(repr(grammar)) for grammar in grammars]\n"
        "result = [[type(b).__name__, str(a) == str(b)] for a, b in zip(grammars, again)]",
        [["Grammar", True]] * 4,
    ),
    "grammar_text_and_order": (
        "from parsimonious import Grammar\n"
        "g = Grammar('''b = a c\na = 'x'\nc = !a &'y' ~'[yz]'is''')\n"
        "result = [str(g), list(g), g.default('c').default_rule.name, g['c'].match('y').end]",
        ['b = a c\na = "x"\nc = !a &"y" ~"[yz]"isu', ["b", "a", "c"], "c", 1],
    ),
    "token_grammars": (
        "from parsimonious import BadGrammar, TokenGrammar, VisitationError\nfrom parsimonious.utils import Token\n"
        "g = TokenGrammar('''call = name open name* close\nname = \"name\"\nopen = \"(\"\nclose = \")\" ''')\n"
        "tree = g.parse([Token(kind) for kind in ('name', '(', 'name', 'name', ')')])\n"
        "try:\n    TokenGrammar('a = ~\"x\"')\nexcept VisitationError as error:\n"
        "    result = [tree.end, len(tree.children[2].children), error.original_class.__name__,\n"
        "              isinstance(error.__cause__, BadGrammar)]",
        [5, 2, "BadGrammar", True],
    ),
    "lazy_references": (
        "from parsimonious import Grammar\nfrom parsimonious.expressions import Sequence\n"
        "from parsimonious.grammar import LazyReference\n"
        "g = Grammar('a = \"x\"', two=Sequence(LazyReference('a'), LazyReference('a'), name='two')).default('two')\n"
        "result = [g.parse('xx').end, isinstance(LazyReference('a'), str), LazyReference('a').name]",
        [2, True, ""],
    ),
    "node_repr_and_equality": (
        "from parsimonious.expressions import Literal\nfrom parsimonious.nodes import Node\n"
        "n = Node(Literal('é'), 'ééé', 0, 1, children=[Node(Literal('x'), 'ééé', 1, 2)])\n"
        "m = Node(Literal('é'), 'ééé', 0, 1, children=[Node(Literal('x'), 'ééé', 1, 2)])\n"
        "result = [repr(n), n == m, n != m, n == 5, n != 5, [c.text for c in n]]",
        [
            "s = 'ééé'\nNode(<Literal \"é\">, s, 0, 1, children=[Node(<Literal \"x\">, s, 1, 2)])",
            True, False, False, True, ["é"],
        ],
    ),
    "old_modules_are_not_in_memory": (
        "import sys\nimport parsimonious, parsimonious.grammar, parsimonious.nodes, parsimonious.utils\n"
        "result = sorted({'six', 'nose', 'imp', 'distutils', 'pkg_resources', 'setuptools'} & set(sys.modules))",
        [],
    ),
}  # fmt: skip
