mod history;
mod local;
mod opening;
mod receipts;
mod remote;
