//! A compiled expression: instructions for the [machine](super::machine).
//!
//! The machine keeps a stack of values, whose top is the input of what comes next; each filter replaces it by its output.
//! `stack: before -> after`, the top last.

use super::ast::Operator;
use super::builtins::Native;
use crate::value::Value;

/// A variable: how many functions further out its frame is, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub level: u16,
    pub index: u16,
}

/// A place in the code.
pub(super) type Target = u32;

#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// `x -> constant`
    Constant(u32),
    /// `x -> constant x`
    Under(u32),
    /// `x -> argument`: a runtime argument.
    Argument(u32),
    /// `x -> x x`
    Dup,
    /// `x ->`
    Pop,
    /// `k x -> k x k`
    Over,
    /// `x -> x x`: a value begins that is no part of a path.
    Enter,
    /// `x y -> y x`: it ends.
    Leave,
    /// `x -> variable`
    Load(Slot),
    /// `x -> variable`, which becomes `null`: nobody else holds the value.
    Take(Slot),
    /// `x ->`
    Store(Slot),
    /// The same; on the way back it becomes `null` again.
    StoreForNow(Slot),
    /// `key x -> x[key]`; true: nothing instead of an error.
    Index(bool),
    /// `x -> x[constant]`
    Field(u32, bool),
    /// `x -> x[]`
    Each(bool),
    /// Goes on, and on the way back at the target.
    Fork(Target),
    /// Goes on; when an error comes back, at the target with the error's value in place of the input.
    Try(Target),
    /// Errors from behind here are not for the `Try` before.
    TryEnd,
    /// Goes on; when any error comes back, at the target.
    Alternative(Target),
    Jump(Target),
    /// `x -> x`
    JumpUnless(Target),
    /// No output: back to the last fork.
    Backtrack,
    /// `v x -> x`; the variable becomes `v`.
    StoreUnder(Slot),
    /// `x -> x x`, and whoever comes back here finds `null` in its place: nobody else holds the value.
    DupLast,
    /// `c x -> x`; jumps unless `c` is true.
    Branch(Target),
    /// `x ->`: at the end of the array in the variable.
    Append(Slot),
    /// `object key value x -> object x`
    Insert,
    /// `to -> from … to - 1`, counted in the variable.
    Range(Slot),
    /// `x -> (path state) x`: paths are counted from here.
    PathStart,
    /// `(path state) x -> path`
    PathEnd,
    /// `path x -> x at path`
    GetPath,
    /// `right left x -> result`
    Operator(Operator),
    /// `x -> x` as a truth value.
    Truth,
    /// `arguments x -> result`
    Native(&'static Native),
    /// Calls a closure with others: a range of [`Program::closures`], the callee first.
    Call(u32, u16),
    /// The same, as the last thing of a function.
    TailCall(u32, u16),
    Return,
    /// The variable becomes a new label.
    Label(Slot),
    /// `break`
    Break(Slot),
    /// `error ->`: nothing, when it is the `break` to the label; else the error goes on.
    CatchBreak(Slot),
    /// `path -> path v`: what lies at the path in the variable.
    LookUp(Slot),
    /// `path value ->`: into the variable.
    PutPath(Slot),
    /// The variable becomes the number of forks.
    Mark(Slot),
    /// Forgets the forks since the mark.
    Cut(Slot),
    /// `pn … p1 x -> text`: joins that many texts.
    Concat(u32),
}

/// A filter handed to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closure {
    /// A function in the frame so many functions further out.
    New { function: u32, level: u16 },
    /// A function of the language itself, which needs no frame.
    Global { function: u32 },
    /// A parameter of the function so much further out.
    Parameter { level: u16, index: u16 },
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Function {
    pub entry: Target,
    pub locals: u16,
}

#[derive(Debug, Default)]
pub(super) struct Program {
    pub code: Vec<Op>,
    pub constants: Vec<Value>,
    pub closures: Vec<Closure>,
    /// The first is the program itself.
    pub functions: Vec<Function>,
}
