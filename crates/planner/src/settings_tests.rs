//! Tables on the settings of one node.
