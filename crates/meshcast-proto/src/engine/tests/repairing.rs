//! Engines that are connected, told step by step.
