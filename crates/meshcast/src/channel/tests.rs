mod arrivals;
mod asynchronous;
mod history;
mod local;
mod opening;
mod receipts;
mod remote;
mod resume;
