//! Reports for people: figures and tables on one page that needs nothing else.
//!
//! Everything here is a pure function: plain data in, markup out. A page fetches nothing and runs nothing, so it can be
//! mailed, archived and opened in ten years; it follows the reader's light or dark setting; its figures tell sites
//! apart by hatch, dash and marker as well as by colour, and say in words what they show.
//!
//! Text reaches a page only through [`markup`], which escapes it: what a task or a site is called cannot become markup.
//!
//! Not here: where the data come from, and which figures a report has.

pub mod bars;
pub mod drawn;
pub mod frame;
pub mod ink;
pub mod marks;
pub mod markup;
pub mod page;
pub mod panels;
pub mod points;
pub mod ranges;
pub mod scale;
pub mod stacks;
pub mod table;
pub mod timeline;
pub mod walks;
