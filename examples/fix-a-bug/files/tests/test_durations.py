import unittest

from durations import parse


class ParseTest(unittest.TestCase):
    def test_one_unit(self):
        self.assertEqual(parse("90s"), 90)

    def test_several_units_add_up(self):
        self.assertEqual(parse("1h30m"), 5400)

    def test_units_come_in_order(self):
        with self.assertRaises(ValueError):
            parse("30m1h")

    def test_no_number(self):
        with self.assertRaises(ValueError):
            parse("h")
