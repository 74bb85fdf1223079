//! Demand: stages that never get more than they asked for.
