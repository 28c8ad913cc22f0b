"""Claims: settings, a statistic and a bound, stated before the run; and the verdict."""
