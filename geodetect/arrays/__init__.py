"""Algorithms on arrays that know no geography: components, orders, summed areas."""
