"""From a fitted law to a decision: forecasts, plans, virtual runs and designs, with intervals."""
